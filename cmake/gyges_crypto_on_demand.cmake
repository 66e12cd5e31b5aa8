# The binary loads libcrypto when it first needs a hash or a signature. Linked from its archive, its
# tables of pointers were three quarters of what each start had to relocate (83 of 112 pages), 0.45 of
# the 2.6 ms of `gyges run --help`, and a run without a record uses none of it. To load it takes 0.7.
#
# gyges_crypto_on_demand(TARGET): a static library that has, for each function of
# crypto_functions.txt, a few instructions of that name which load the library and go on there.
function(gyges_crypto_on_demand target)
  file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/crypto_functions.txt names REGEX "^[A-Za-z]")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_SOURCE_DIR}/crypto_functions.txt)
  list(LENGTH names count)
  set(stubs "")
  set(text "")
  set(index 0)
  foreach(name IN LISTS names)
    string(APPEND stubs "function ${name} ${index}\n")
    string(APPEND text "  .asciz \"${name}\"\n")
    math(EXPR index "${index} + 1")
  endforeach()
  set(GYGES_CRYPTO_STUBS "${stubs}")
  set(GYGES_CRYPTO_NAMES "${text}")
  set(GYGES_CRYPTO_COUNT ${count})
  configure_file(${CMAKE_CURRENT_SOURCE_DIR}/crypto_on_demand.S.in
    ${CMAKE_CURRENT_BINARY_DIR}/crypto_on_demand.S @ONLY)
  string(REGEX MATCH "^[0-9]+" major "${OPENSSL_VERSION}")
  add_library(${target} STATIC EXCLUDE_FROM_ALL crypto_on_demand.cpp
    ${CMAKE_CURRENT_BINARY_DIR}/crypto_on_demand.S)
  target_compile_definitions(${target} PRIVATE GYGES_LIBCRYPTO="libcrypto.so.${major}"
    GYGES_LIBCRYPTO_PACKAGE="libssl${major}")
  gyges_compile_options(${target})
endfunction()

# Runs with a record or a persona pay for it; a persona has it loaded while its manifest is read.
option(GYGES_LOAD_CRYPTO_ON_DEMAND "the binary loads libcrypto when it first needs it" ON)

# For targets with the property GYGES_CRYPTO_ON_DEMAND.
set(GYGES_LIBCRYPTO_ON_DEMAND OFF)
if(GYGES_LOAD_CRYPTO_ON_DEMAND AND GYGES_STATIC_LIBRARIES AND NOT GYGES_SANITIZE
    AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  set(GYGES_LIBCRYPTO_ON_DEMAND ON)
  get_property(gyges_linked_crypto TARGET gyges_crypto PROPERTY INTERFACE_LINK_LIBRARIES)
  set(gyges_on_demand $<BOOL:$<TARGET_PROPERTY:GYGES_CRYPTO_ON_DEMAND>>)
  set_property(TARGET gyges_crypto PROPERTY INTERFACE_LINK_LIBRARIES
    "$<${gyges_on_demand}:gyges_crypto_on_demand>"
    "$<$<NOT:${gyges_on_demand}>:${gyges_linked_crypto}>")
endif()

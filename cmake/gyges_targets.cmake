# One way to declare the library of a room, so that warnings, sanitizers and include paths are the
# same everywhere: gyges_library(NAME SOURCES... DEPS...)
# Members with a default may be left out of a designated initializer.
set(GYGES_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wcast-align -Woverloaded-virtual
  -Wimplicit-fallthrough -Wno-missing-field-initializers)
# Boost.Asio has fences, which ThreadSanitizer does not follow and GCC 12 warns of.
if(GYGES_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND GYGES_WARNINGS -Wno-tsan)
endif()
# Where code is written and tested. Whoever only wants the program may have another compiler.
if(GYGES_TESTS)
  list(APPEND GYGES_WARNINGS -Werror)
endif()
# GCC 12 reports std::string operations as overlapping copies (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND GYGES_WARNINGS -Wno-restrict)
  # With sanitizers it reports members of std::regex's automaton as used unset (GCC bug 105562).
  # Other builds keep the warning.
  if(GYGES_SANITIZE)
    list(APPEND GYGES_WARNINGS -Wno-maybe-uninitialized)
  endif()
endif()

function(gyges_compile_options target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${GYGES_WARNINGS}>)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  if(GYGES_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${GYGES_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${GYGES_SANITIZE})
  endif()
endfunction()

# Code that runs once for each command or test and consists mostly of templates (parsers of arguments,
# JSON, matchers): optimising it fully would make the build a quarter longer and nothing faster.
function(gyges_compile_quickly target)
  target_compile_options(${target} PRIVATE $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>)
endfunction()

function(gyges_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  gyges_compile_options(${name})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
  gyges_precompiled_library(${name})
endfunction()

# gyges_test(NAME SOURCES... DEPS... [LABELS...] [TIMEOUT s] [AS_USER] [CAPTURED]): one GoogleTest
# program per room. With AS_USER it runs a second time, as an ordinary user. With CAPTURED packets
# that leave on the host meanwhile fail its tests (tests/host_capture.h).
function(gyges_test name)
  cmake_parse_arguments(ARG "AS_USER;CAPTURED" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(GYGES_SANITIZE)  # what computes takes several times as long
    math(EXPR ARG_TIMEOUT "5 * ${ARG_TIMEOUT}")
  endif()
  add_executable(${name} ${ARG_SOURCES} $<TARGET_OBJECTS:gyges_test_support>)
  gyges_compile_options(${name})
  gyges_compile_quickly(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  set(captured)
  if(ARG_CAPTURED)  # what leaves on the host meanwhile fails its tests
    target_link_libraries(${name} PRIVATE gyges_host_capture)
    set(captured $<TARGET_FILE:host_capture>)
  endif()
  gyges_precompiled_test(${name})
  target_compile_definitions(${name} PRIVATE GYGES_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    GYGES_BINARY="${CMAKE_BINARY_DIR}/gyges")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  if(ARG_AS_USER)
    add_test(NAME ${name}_as_user
      COMMAND ${CMAKE_SOURCE_DIR}/tests/as_user.sh $<TARGET_FILE:${name}> ${captured})
    set_tests_properties(${name}_as_user PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
      SKIP_RETURN_CODE 77)
  endif()
endfunction()

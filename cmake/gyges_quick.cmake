# GYGES_QUICK: a build from nothing in half the time, as scripts/build and scripts/test do it. What
# the libraries and the binary do is the same; only tests are compiled without optimisation.
#   - headers that most sources include are precompiled, once for libraries, tests and command line
#   - the tests and the command line use one explicit instantiation of nlohmann::json
#   - the compiler collects its garbage later; ccache trusts the compiler's list of headers, so that a
#     file it does not know is not preprocessed on its own
# Off by default: a change of a precompiled header would compile everything again, and a missing
# #include would go unnoticed.
option(GYGES_QUICK "precompiled headers: quick builds from nothing" OFF)

if(GYGES_QUICK AND NOT GYGES_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(GYGES_PRECOMPILE ON)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>
    "SHELL:$<$<COMPILE_LANGUAGE:CXX>:--param ggc-min-heapsize=262144>")
  # Their known false reports on the standard library are not recognised as such in a precompiled
  # header; other builds keep them.
  list(APPEND GYGES_WARNINGS -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds
    -Wno-maybe-uninitialized)
  if(CCACHE_PROGRAM AND CMAKE_CXX_COMPILER_LAUNCHER STREQUAL CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_DEPEND=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  endif()
else()
  set(GYGES_PRECOMPILE OFF)
endif()

# An object library that owns a precompiled header, compiled as its users are.
function(gyges_precompiled owner header)
  add_library(${owner} OBJECT ${CMAKE_SOURCE_DIR}/cmake/quick/${header}.cpp)
  gyges_compile_options(${owner})
  target_link_libraries(${owner} PRIVATE gyges_fmt nlohmann_json::nlohmann_json)
  target_precompile_headers(${owner} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/quick/${header}.h)
endfunction()

# gyges_quick_library(TARGET), gyges_quick_test(TARGET), gyges_quick_command_line(TARGET)
function(gyges_quick_library target)
  if(NOT GYGES_PRECOMPILE)
    return()
  endif()
  if(NOT TARGET gyges_quick_code)
    gyges_precompiled(gyges_quick_code code)
  endif()
  target_precompile_headers(${target} REUSE_FROM gyges_quick_code)
endfunction()

function(gyges_quick_test target)
  if(NOT GYGES_PRECOMPILE)
    return()
  endif()
  if(NOT TARGET gyges_quick_tests)
    gyges_precompiled(gyges_quick_tests tests)
    target_link_libraries(gyges_quick_tests PRIVATE GTest::gtest GTest::gmock)
    # As programs are compiled, not libraries.
    set_target_properties(gyges_quick_tests PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(gyges_quick_tests PRIVATE -fPIE -O0)
  endif()
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O0>)
  target_precompile_headers(${target} REUSE_FROM gyges_quick_tests)
  target_link_libraries(${target} PRIVATE gyges_base)
endfunction()

function(gyges_quick_command_line target)
  if(GYGES_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/quick/command_line.h)
  endif()
endfunction()

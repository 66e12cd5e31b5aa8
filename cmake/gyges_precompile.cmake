# GYGES_PRECOMPILE: a build from nothing in less time, as scripts/build and scripts/test do it. What
# the libraries and the binary do is the same; only tests are compiled without optimisation.
#   - headers of others that most sources include are precompiled, once each for libraries, tests and
#     command line
#   - sources of a target are compiled several at a time (CMake's unity build), so that what they share
#     is read and instantiated once
#   - the compiler collects its garbage later; ccache trusts the compiler's list of headers, so that a
#     file it does not know is not preprocessed on its own
# Off by default: a missing #include would go unnoticed.
option(GYGES_PRECOMPILE "precompiled headers: quick builds from nothing" OFF)
# The fuzz targets are built by clang with sanitizers, all with the same ones.
if(GYGES_PRECOMPILE AND NOT GYGES_FUZZ
    AND (GYGES_SANITIZE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU"))
  message(STATUS "GYGES_PRECOMPILE is for GCC without sanitizers and for fuzz targets: not used")
  set(GYGES_PRECOMPILE OFF)
endif()

# GCC 12 reports code of libraries once templates are instantiated elsewhere (base/json.h; seen:
# -Warray-bounds in trace_reader.cpp at -O3) or come from a precompiled header. Builds with sanitizers
# and by clang keep the warnings.
if(NOT GYGES_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND GYGES_WARNINGS -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds
    -Wno-maybe-uninitialized)
endif()

# Sources that use a name of their own which a neighbour uses, too: "redefinition" in a joined
# compilation is cured by a line here, or better by a name that says more.
file(STRINGS ${CMAKE_SOURCE_DIR}/cmake/precompiled/compiled_alone.txt GYGES_COMPILED_ALONE)

if(GYGES_PRECOMPILE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>
      "SHELL:$<$<COMPILE_LANGUAGE:CXX>:--param ggc-min-heapsize=262144>")
  endif()
  # GCC 13 for x86 sets these by the level of optimisation, and reads no header that was compiled with
  # others. They mean nothing where loops are not unrolled and vectors not used.
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-munroll-only-small-loops GYGES_SETS_TUNING_BY_LEVEL)
  if(GYGES_SETS_TUNING_BY_LEVEL)
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-munroll-only-small-loops>
      $<$<COMPILE_LANGUAGE:CXX>:-mvzeroupper>)
  endif()
  if(CCACHE_PROGRAM AND CMAKE_CXX_COMPILER_LAUNCHER STREQUAL CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_DEPEND=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  endif()
endif()

# Several sources in one compilation.
function(gyges_join_sources target count)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${count})
  # Names that sources keep to themselves meet here only; other builds keep the whole warning.
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-shadow> $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wshadow=local>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
  get_target_property(sources ${target} SOURCES)
  get_target_property(directory ${target} SOURCE_DIR)
  foreach(source ${sources})
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${directory} NORMALIZE OUTPUT_VARIABLE path)
    cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${CMAKE_SOURCE_DIR})
    if(path IN_LIST GYGES_COMPILED_ALONE)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()

# An object library that owns a precompiled header, compiled as its users are.
function(gyges_precompiled owner header)
  add_library(${owner} OBJECT ${CMAKE_SOURCE_DIR}/cmake/precompiled/${header}.cpp)
  gyges_compile_options(${owner})
  target_link_libraries(${owner} PRIVATE gyges_fmt nlohmann_json::nlohmann_json)
  target_precompile_headers(${owner} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled/${header}.h)
endfunction()

# gyges_precompiled_library(TARGET), _test(TARGET), _command_line(TARGET)
function(gyges_precompiled_library target)
  if(GYGES_SANITIZE)  # slow to compile, and built from nothing each time
    gyges_join_sources(${target} 12)
  endif()
  if(NOT GYGES_PRECOMPILE)
    return()
  endif()
  if(NOT TARGET gyges_precompiled_code)
    gyges_precompiled(gyges_precompiled_code code)
  endif()
  target_link_libraries(${target} PRIVATE gyges_fmt)  # compiled by the same definitions
  target_precompile_headers(${target} REUSE_FROM gyges_precompiled_code)
  gyges_join_sources(${target} 12)
endfunction()

function(gyges_precompiled_test target)
  if(GYGES_SANITIZE)
    gyges_join_sources(${target} 16)
  endif()
  if(NOT GYGES_PRECOMPILE)
    return()
  endif()
  if(NOT TARGET gyges_precompiled_tests)
    gyges_precompiled(gyges_precompiled_tests tests)
    target_link_libraries(gyges_precompiled_tests PRIVATE GTest::gtest GTest::gmock)
    # As programs are compiled, not libraries.
    set_target_properties(gyges_precompiled_tests PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(gyges_precompiled_tests PRIVATE -fPIE -O0)
  endif()
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O0>)
  target_precompile_headers(${target} REUSE_FROM gyges_precompiled_tests)
  gyges_join_sources(${target} 16)
  target_link_libraries(${target} PRIVATE gyges_base)
endfunction()

function(gyges_precompiled_command_line target)
  if(GYGES_SANITIZE)
    gyges_join_sources(${target} 12)
  endif()
  if(GYGES_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled/command_line.h)
    gyges_join_sources(${target} 12)
  endif()
endfunction()

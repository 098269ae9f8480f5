# SPDX-License-Identifier: Apache-2.0
# How every target of the project is compiled, and the two functions that make the targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(LQER_CCACHE ccache)
if(LQER_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${LQER_CCACHE})
endif()

add_library(lqer_options INTERFACE)
target_include_directories(lqer_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(lqer_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow=local -Wnon-virtual-dtor -Wno-psabi
  # Number formats depend on every operation being rounded on its own: no fused multiply-add behind our back.
  -ffp-contract=off)
target_compile_definitions(lqer_options INTERFACE EIGEN_DONT_PARALLELIZE $<$<NOT:$<CONFIG:Release>>:_GLIBCXX_ASSERTIONS>)
if(LQER_NATIVE)
  target_compile_options(lqer_options INTERFACE -march=native)
endif()
if(LQER_SANITIZE)
  string(REPLACE ";" "," LQER_SANITIZE_LIST "${LQER_SANITIZE}")
  target_compile_options(lqer_options INTERFACE -fsanitize=${LQER_SANITIZE_LIST} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(lqer_options INTERFACE -fsanitize=${LQER_SANITIZE_LIST})
endif()

# lqer_module(NAME SOURCES ... DEPENDS ...): the static library lqer_NAME of the folder core/NAME.
# DEPENDS names other modules (base, io, ...) or imported targets.
function(lqer_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE" ${ARGN})
  add_library(lqer_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(lqer_${name} PUBLIC lqer_options)
  foreach(dep IN LISTS ARG_DEPENDS)
    if(dep MATCHES "::")
      target_link_libraries(lqer_${name} PUBLIC ${dep})
    else()
      target_link_libraries(lqer_${name} PUBLIC lqer_${dep})
    endif()
  endforeach()
  target_link_libraries(lqer_${name} PRIVATE ${ARG_PRIVATE})
endfunction()

# lqer_test(NAME DEPENDS modules...): the Qt Test program tst_NAME from tst_NAME.cpp in the current folder, run by CTest.
function(lqer_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(tst_${name} tst_${name}.cpp ${ARG_SOURCES})
  set_target_properties(tst_${name} PROPERTIES AUTOMOC ON)
  target_link_libraries(tst_${name} PRIVATE lqer_options lqer_test_support Qt6::Test)
  foreach(dep IN LISTS ARG_DEPENDS)
    if(dep MATCHES "::")
      target_link_libraries(tst_${name} PRIVATE ${dep})
    else()
      target_link_libraries(tst_${name} PRIVATE lqer_${dep})
    endif()
  endforeach()
  add_test(NAME ${name} COMMAND tst_${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 1800 LABELS "${ARG_LABELS}"
    ENVIRONMENT "QT_QPA_PLATFORM=offscreen;LC_ALL=C.UTF-8;QTEST_FUNCTION_TIMEOUT=1700000")
endfunction()

# SPDX-License-Identifier: Apache-2.0
# Every library the project stands on; scripts/packages.txt names the Debian packages.
find_package(Threads REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(OPENBLAS REQUIRED IMPORTED_TARGET openblas)
pkg_check_modules(LAPACKE REQUIRED IMPORTED_TARGET lapacke)
# oneDNN asks OpenMP for threads; we tell it to take one. Its own package file wants OpenCL's headers, which nothing here needs.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_library(LQER_DNNL_LIBRARY dnnl REQUIRED)
find_path(LQER_DNNL_INCLUDE oneapi/dnnl/dnnl.h REQUIRED)
add_library(DNNL::dnnl UNKNOWN IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES
  IMPORTED_LOCATION ${LQER_DNNL_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${LQER_DNNL_INCLUDE})
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
# QCustomPlot's package names Qt's targets without finding them itself, and states no version.
find_package(Qt6 6.4 REQUIRED COMPONENTS Core Gui DBus Widgets PrintSupport)
find_package(QCustomPlotQt6 REQUIRED CONFIG)
if(LQER_BUILD_TESTS)
  find_package(Qt6 6.4 REQUIRED COMPONENTS Test)
endif()

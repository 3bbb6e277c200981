# The front end's third-party sources: Dear ImGui (docking), ImPlot, GLFW and, for tests, the ImGui Test Engine.
#
# All come out of one pinned source package, which pip downloads by name and checks by hash; nothing of it is run.
# It is unpacked once into ${XDG_CACHE_HOME:-~/.cache}/reattend/third_party, so that other build folders find it there.
set(IMGUI_BUNDLE_SOURCE_DIR "" CACHE PATH "An unpacked imgui-bundle 1.93.0 source tree to use instead of downloading one")
set(IMGUI_BUNDLE_ARCHIVE "" CACHE FILEPATH "imgui_bundle-1.93.0.tar.gz to use instead of downloading it")

set(imgui_bundle_version 1.93.0)
set(imgui_bundle_sha256 10ad1dab8258a6787b4f07bb926b08d0efc648a7906242568c8dd778c5e719bf)

# One line (the leading space keeps CMake from breaking it) with the ways out; leaves no half of a download behind.
function(imgui_bundle_fail work what)
  if(work)
    file(REMOVE_RECURSE ${work})
  endif()
  string(CONCAT ways_out "connect to the network and configure again, or pass "
    "-DIMGUI_BUNDLE_ARCHIVE=imgui_bundle-${imgui_bundle_version}.tar.gz, "
    "-DIMGUI_BUNDLE_SOURCE_DIR=(unpacked tree), or -DREATTEND_GUI=OFF to build without the window")
  message(FATAL_ERROR " imgui-bundle: ${what}; ${ways_out}")
endfunction()

find_package(OpenGL COMPONENTS OpenGL EGL QUIET)
find_package(PNG QUIET)
foreach(pair OpenGL::OpenGL=libopengl-dev OpenGL::EGL=libegl-dev PNG::PNG=libpng-dev)
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 target)
  list(GET pair 1 package)
  if(NOT TARGET ${target})
    message(FATAL_ERROR " window: expected ${target}, found none; install libgl-dev libopengl-dev libegl-dev libpng-dev "
      "(${package} is missing), or pass -DREATTEND_GUI=OFF to build without the window")
  endif()
  set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL TRUE)
endforeach()

# Downloads the package's source archive into `folder` with pip; sets `archive_variable` to its path.
function(imgui_bundle_download folder archive_variable)
  find_package(Python3 COMPONENTS Interpreter QUIET)
  if(NOT Python3_FOUND)
    imgui_bundle_fail(${folder} "expected python3 with pip, found no python3; install python3 python3-pip")
  endif()
  execute_process(COMMAND ${Python3_EXECUTABLE} -m pip --version RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(NOT status EQUAL 0)
    imgui_bundle_fail(${folder} "expected pip for ${Python3_EXECUTABLE}, found none; install python3-pip")
  endif()
  message(STATUS "imgui-bundle ${imgui_bundle_version}: downloading the source package (54 MB) with pip")
  file(WRITE ${folder}/requirements.txt "imgui-bundle==${imgui_bundle_version} --hash=sha256:${imgui_bundle_sha256}\n")
  # pip asks a source package's own build backend for its metadata, which here would pull in four unpinned packages
  # first. The stand-in in pip_stub/ answers instead.
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/pip_stub PYTHONDONTWRITEBYTECODE=1
      ${Python3_EXECUTABLE} -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all:
      --no-build-isolation --require-hashes --retries 2 -r ${folder}/requirements.txt -d ${folder}
    RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    string(STRIP "${text}" text)
    string(REGEX REPLACE ".*\n" "" last_line "${text}")
    imgui_bundle_fail(${folder} "pip could not download version ${imgui_bundle_version} (${last_line})")
  endif()
  file(GLOB archives ${folder}/imgui_bundle-*.tar.gz)
  set(${archive_variable} "${archives}" PARENT_SCOPE)
endfunction()

# Leaves the needed parts of the package in the cache and sets imgui_bundle_dir to its external/ folder.
function(imgui_bundle_unpack)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(cache $ENV{XDG_CACHE_HOME})
  elseif(DEFINED ENV{HOME})
    set(cache $ENV{HOME}/.cache)
  else()
    set(cache ${CMAKE_BINARY_DIR}/.cache)
  endif()
  set(place ${cache}/reattend/third_party/imgui-bundle-${imgui_bundle_version})
  set(stamp ${place}/complete-${imgui_bundle_sha256})
  if(NOT EXISTS ${stamp})
    # Unpacked beside its place and renamed when complete: neither an interrupted nor a simultaneous run leaves half a tree.
    string(RANDOM LENGTH 8 suffix)
    set(work ${place}.${suffix})
    file(MAKE_DIRECTORY ${work})
    if(IMGUI_BUNDLE_ARCHIVE)
      set(archive ${IMGUI_BUNDLE_ARCHIVE})
      if(NOT EXISTS ${archive})
        imgui_bundle_fail(${work} "IMGUI_BUNDLE_ARCHIVE ${archive} does not exist")
      endif()
    else()
      imgui_bundle_download(${work} archive)
    endif()
    file(SHA256 ${archive} sha256)
    if(NOT sha256 STREQUAL imgui_bundle_sha256)
      imgui_bundle_fail(${work} "${archive}: expected sha256 ${imgui_bundle_sha256}, got ${sha256}")
    endif()
    set(inside imgui_bundle-${imgui_bundle_version}/external)
    file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${work}/unpacked PATTERNS
      ${inside}/imgui/imgui/* ${inside}/implot/implot/* ${inside}/glfw/glfw/*
      ${inside}/imgui_test_engine/imgui_test_engine/imgui_test_engine/*)
    file(WRITE ${work}/unpacked/${inside}/../complete-${imgui_bundle_sha256} "")
    if(NOT EXISTS ${stamp})
      file(REMOVE_RECURSE ${place})
      file(RENAME ${work}/unpacked/imgui_bundle-${imgui_bundle_version} ${place})
    endif()
    file(REMOVE_RECURSE ${work})
    message(STATUS "imgui-bundle ${imgui_bundle_version}: unpacked into ${place}")
  endif()
  set(imgui_bundle_dir ${place}/external PARENT_SCOPE)
endfunction()

if(IMGUI_BUNDLE_SOURCE_DIR)
  set(imgui_bundle_dir ${IMGUI_BUNDLE_SOURCE_DIR}/external)
else()
  imgui_bundle_unpack()
endif()
foreach(needed imgui/imgui/imgui.cpp implot/implot/implot.cpp glfw/glfw/CMakeLists.txt
        imgui_test_engine/imgui_test_engine/imgui_test_engine/imgui_te_engine.cpp)
  if(NOT EXISTS ${imgui_bundle_dir}/${needed})
    imgui_bundle_fail("" "expected ${imgui_bundle_dir}/${needed}, which is missing")
  endif()
endforeach()

set(imgui_dir ${imgui_bundle_dir}/imgui/imgui)
set(implot_dir ${imgui_bundle_dir}/implot/implot)
set(test_engine_parent ${imgui_bundle_dir}/imgui_test_engine/imgui_test_engine)

# Third-party code is compiled without warnings; ours sees its headers as system headers.
function(vendor_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_options(${name} PRIVATE -w)
endfunction()

add_library(imgui_headers INTERFACE)
target_include_directories(imgui_headers SYSTEM INTERFACE ${imgui_dir} ${imgui_dir}/backends ${imgui_dir}/misc/cpp ${implot_dir})
# Characters beyond U+FFFF: emoji stand there.
target_compile_definitions(imgui_headers INTERFACE IMGUI_DISABLE_OBSOLETE_FUNCTIONS IMGUI_USE_WCHAR32)

set(imgui_sources ${imgui_dir}/imgui.cpp ${imgui_dir}/imgui_draw.cpp ${imgui_dir}/imgui_tables.cpp
  ${imgui_dir}/imgui_widgets.cpp ${imgui_dir}/imgui_demo.cpp ${imgui_dir}/misc/cpp/imgui_stdlib.cpp)
if(EXISTS ${imgui_dir}/imgui_stacklayout.cpp)
  list(APPEND imgui_sources ${imgui_dir}/imgui_stacklayout.cpp)
endif()
vendor_library(imgui ${imgui_sources})
target_link_libraries(imgui PUBLIC imgui_headers)

vendor_library(imgui_backends ${imgui_dir}/backends/imgui_impl_opengl3.cpp ${imgui_dir}/backends/imgui_impl_null.cpp)
target_link_libraries(imgui_backends PUBLIC imgui_headers PRIVATE ${CMAKE_DL_LIBS})

# The default ten numeric types take 113 s to compile, these two 25 s.
vendor_library(implot ${implot_dir}/implot.cpp ${implot_dir}/implot_items.cpp)
target_compile_definitions(implot PRIVATE "IMPLOT_CUSTOM_NUMERIC_TYPES=(float)(double)")
target_link_libraries(implot PUBLIC imgui_headers)

# The bundled GLFW (3.5) chooses X11 or Wayland at run time and loads both with dlopen.
set(glfw_wayland OFF)
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(REATTEND_WAYLAND QUIET wayland-client wayland-cursor wayland-egl xkbcommon)
  find_program(WAYLAND_SCANNER wayland-scanner)
  if(REATTEND_WAYLAND_FOUND AND WAYLAND_SCANNER)
    set(glfw_wayland ON)
  endif()
endif()
function(add_bundled_glfw)
  set(GLFW_BUILD_WAYLAND ${glfw_wayland} CACHE BOOL "" FORCE)
  foreach(off GLFW_BUILD_EXAMPLES GLFW_BUILD_TESTS GLFW_BUILD_DOCS GLFW_INSTALL)
    set(${off} OFF CACHE BOOL "" FORCE)
  endforeach()
  set(BUILD_SHARED_LIBS OFF)
  set(CMAKE_MESSAGE_LOG_LEVEL WARNING)
  add_subdirectory(${imgui_bundle_dir}/glfw/glfw ${CMAKE_BINARY_DIR}/third_party/glfw EXCLUDE_FROM_ALL)
  target_compile_options(glfw PRIVATE -w)
endfunction()
add_bundled_glfw()

vendor_library(imgui_backend_glfw ${imgui_dir}/backends/imgui_impl_glfw.cpp)
target_compile_definitions(imgui_backend_glfw PUBLIC GLFW_INCLUDE_NONE)
target_link_libraries(imgui_backend_glfw PUBLIC imgui_headers glfw)

# Tests only: Dear ImGui compiled with the Test Engine's hooks. ImGuiContext has the same layout with and without them,
# so the front end is compiled once and the program that links it picks `imgui` or `imgui_hooked`.
if(REATTEND_TESTS)
  vendor_library(imgui_hooked EXCLUDE_FROM_ALL ${imgui_sources})
  target_include_directories(imgui_hooked SYSTEM PUBLIC ${test_engine_parent} ${test_engine_parent}/imgui_test_engine)
  target_compile_definitions(imgui_hooked PUBLIC IMGUI_USER_CONFIG="imgui_te_imconfig.h"
    IMGUI_TEST_ENGINE_ENABLE_COROUTINE_STDTHREAD_IMPL=1 IMGUI_TEST_ENGINE_ENABLE_STD_FUNCTION=1
    IMGUI_TEST_ENGINE_ENABLE_IMPLOT=0 IMGUI_TEST_ENGINE_ENABLE_CAPTURE=1)
  target_link_libraries(imgui_hooked PUBLIC imgui_headers)

  file(GLOB test_engine_sources ${test_engine_parent}/imgui_test_engine/imgui_te_*.cpp)
  list(FILTER test_engine_sources EXCLUDE REGEX python_gil)
  vendor_library(imgui_test_engine EXCLUDE_FROM_ALL ${test_engine_sources}
    ${test_engine_parent}/imgui_test_engine/imgui_capture_tool.cpp)
  target_link_libraries(imgui_test_engine PUBLIC imgui_hooked Threads::Threads)
  # The hooks call the engine, which calls Dear ImGui.
  target_link_libraries(imgui_hooked INTERFACE $<LINK_ONLY:imgui_test_engine>)
endif()

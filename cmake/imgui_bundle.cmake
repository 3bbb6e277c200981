# The front end's third-party sources: Dear ImGui (docking), ImPlot, GLFW and, for tests, the ImGui Test Engine.
#
# All come out of one pinned source package (see source_package.cmake).
include(source_package)
set(IMGUI_BUNDLE_SOURCE_DIR "" CACHE PATH "An unpacked imgui-bundle 1.93.0 source tree to use instead of downloading one")
set(IMGUI_BUNDLE_ARCHIVE "" CACHE FILEPATH "imgui_bundle-1.93.0.tar.gz to use instead of downloading it")

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

source_package(NAME imgui-bundle VERSION 1.93.0 MEGABYTES 54
  SHA256 10ad1dab8258a6787b4f07bb926b08d0efc648a7906242568c8dd778c5e719bf
  ARCHIVE "${IMGUI_BUNDLE_ARCHIVE}" DIRECTORY "${IMGUI_BUNDLE_SOURCE_DIR}"
  INSIDE external PATTERNS imgui/imgui/* implot/implot/* glfw/glfw/* imgui_test_engine/imgui_test_engine/imgui_test_engine/*
  NEEDED imgui/imgui/imgui.cpp implot/implot/implot.cpp glfw/glfw/CMakeLists.txt
    imgui_test_engine/imgui_test_engine/imgui_test_engine/imgui_te_engine.cpp
  WAYS_OUT "-DIMGUI_BUNDLE_ARCHIVE=imgui_bundle-1.93.0.tar.gz, -DIMGUI_BUNDLE_SOURCE_DIR=(unpacked tree), or \
-DREATTEND_GUI=OFF to build without the window"
  RESULT imgui_bundle_dir)

set(imgui_dir ${imgui_bundle_dir}/imgui/imgui)
set(implot_dir ${imgui_bundle_dir}/implot/implot)
set(test_engine_parent ${imgui_bundle_dir}/imgui_test_engine/imgui_test_engine)

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

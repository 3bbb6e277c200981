# The CUDA kernels: compiled by nvcc for every architecture in one go, or left out in words where nvcc cannot do it.
#
# A custom command and not CMake's CUDA language, because one compilation gives both the object and what ptxas says of
# each kernel (registers, spills), which a test compares with kernels/cuda/registers.txt.
set(REATTEND_CUDA AUTO CACHE STRING "CUDA kernels: AUTO (if nvcc can build them), ON (it must) or OFF")
set_property(CACHE REATTEND_CUDA PROPERTY STRINGS AUTO ON OFF)
set(REATTEND_CUDA_ARCHITECTURES 75 80 90 120 CACHE STRING "Compute capabilities to build for")

set(reattend_nvcc_flags -std=c++20 -O3 --expt-relaxed-constexpr -Werror all-warnings -Wreorder
  -Xcompiler=-Wall,-Wextra,-Wshadow,-Werror -ccbin ${CMAKE_CXX_COMPILER})
foreach(architecture IN LISTS REATTEND_CUDA_ARCHITECTURES)
  list(APPEND reattend_nvcc_flags -gencode=arch=compute_${architecture},code=sm_${architecture})
endforeach()
# A kernel that spills or indexes its registers dynamically is several times slower: refused like any other warning.
list(APPEND reattend_nvcc_flags -Xptxas=-v,--warn-on-spills,--warn-on-local-memory-usage)

# Sets REATTEND_CUDA_FOUND, and says why not.
function(reattend_find_cuda)
  set(REATTEND_CUDA_FOUND OFF PARENT_SCOPE)
  if(REATTEND_CUDA STREQUAL "OFF")
    message(STATUS "CUDA kernels: left out, because REATTEND_CUDA is OFF")
    return()
  endif()
  find_program(REATTEND_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(NOT REATTEND_NVCC)
    set(reason "nvcc was not found")
  else()
    # Version, host compiler and architectures in one question: can it compile an empty kernel with our flags?
    string(SHA256 question "${REATTEND_NVCC} ${reattend_nvcc_flags}")
    if(NOT REATTEND_NVCC_PROBE STREQUAL question)
      set(probe ${CMAKE_BINARY_DIR}/CMakeFiles/nvcc_probe)
      file(WRITE ${probe}.cu "__global__ void probe() {}\n")
      execute_process(COMMAND ${REATTEND_NVCC} ${reattend_nvcc_flags} -c ${probe}.cu -o ${probe}.o
        RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
      if(status EQUAL 0)
        set(REATTEND_NVCC_PROBE ${question} CACHE INTERNAL "nvcc and flags that were tried with success")
      else()
        string(REGEX MATCH "[^\n]*(error|fatal|unsupported)[^\n]*" line "${text}")
        set(reason "${REATTEND_NVCC} cannot build for ${REATTEND_CUDA_ARCHITECTURES} (12.8 or newer can): ${line}")
      endif()
    endif()
  endif()
  if(NOT DEFINED reason)
    set(REATTEND_CUDA_FOUND ON PARENT_SCOPE)
  elseif(REATTEND_CUDA STREQUAL "ON")
    message(FATAL_ERROR "CUDA kernels: ${reason}; install the CUDA toolkit, or pass -DREATTEND_CUDA=OFF")
  else()
    message(STATUS "CUDA kernels: left out, because ${reason}; everything else is built")
  endif()
endfunction()

# reattend_cuda_library(name SOURCES a.cu ... DEPS libraries ...): its property PTXAS_REPORTS names the files that hold
# what ptxas said.
function(reattend_cuda_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  set(launcher "")
  if(REATTEND_CCACHE)
    set(launcher ${REATTEND_CCACHE})
  endif()
  set(objects "")
  set(reports "")
  foreach(source IN LISTS ARG_SOURCES)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${source}.o)
    set(report ${CMAKE_CURRENT_BINARY_DIR}/${source}.ptxas.txt)
    add_custom_command(OUTPUT ${object} ${report}
      COMMAND ${CMAKE_COMMAND} -DREPORT=${report} -P ${PROJECT_SOURCE_DIR}/cmake/run_with_report.cmake --
        ${launcher} ${REATTEND_NVCC} ${reattend_nvcc_flags} -I${PROJECT_SOURCE_DIR}
        -MD -MF ${object}.d -c ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
      MAIN_DEPENDENCY ${source} DEPFILE ${object}.d VERBATIM COMMENT "nvcc ${source} for ${REATTEND_CUDA_ARCHITECTURES}")
    list(APPEND objects ${object})
    list(APPEND reports ${report})
  endforeach()
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  add_library(${name} STATIC ${objects})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX PTXAS_REPORTS "${reports}")
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()

# Helpers of the build: a library, a program and a test are one line each, all with the same warnings.

add_library(reattend_options INTERFACE)
target_include_directories(reattend_options INTERFACE ${CMAKE_SOURCE_DIR})
# Designated initialisers may leave members to their defaults, which GCC 12 calls missing.
target_compile_options(reattend_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers -Werror>)
# GCC 12 reports false positives of these in its own standard library at -O2 and above.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(reattend_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict -Wno-maybe-uninitialized>)
endif()
if(REATTEND_SANITIZE)
  target_compile_options(reattend_options INTERFACE -fsanitize=${REATTEND_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(reattend_options INTERFACE -fsanitize=${REATTEND_SANITIZE})
endif()

# reattend_compile_fast(target ...): -O1 in Release, for what runs once a command and spends its time to compile on the
# templates of CLI11, fmt, nlohmann-json and GoogleTest. Seconds of processor time a file with GCC 12, -O3 against -O1:
# cli/commands/tune.cpp 14.5, 10.0; cli/commands/info.cpp 13.8, 9.3; tests/cli/bad_input_test.cpp 8.1, 4.9. At -O0 cli/
# takes no less. What decodes, replays, reads traces, draws or is timed stays at -O3. A precompiled header would take
# another 1.5 seconds off a file of cli/, 2 % of a build, and make the compiler's cache depend on how that is set up.
function(reattend_compile_fast)
  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endforeach()
endfunction()

# reattend_library(name SOURCES a.cpp ... [DEPS public libraries ...] [PRIVATE private libraries ...])
function(reattend_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE reattend_options ${ARG_PRIVATE})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

# reattend_program(name SOURCES ... DEPS ...) -> build/bin/name
function(reattend_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE reattend_options ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

# reattend_test(name LABEL unit|golden|simt|gui|model|gpu SOURCES ... DEPS ... [COMPUTES]): a GoogleTest program, one
# ctest test a case. COMPUTES: most of its time is spent in its own loops, which are then compiled at -O3.
# Tests run in the source folder, so data is found under tests/.
function(reattend_test name)
  cmake_parse_arguments(ARG "COMPUTES" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE reattend_options ${ARG_DEPS} GTest::gtest_main)
  if(NOT ARG_COMPUTES)
    reattend_compile_fast(${name})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  gtest_discover_tests(${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES
    PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()

# Third-party sources out of pinned source packages, which pip downloads by name and checks by hash; nothing of them is run.
#
# Each is unpacked once into ${XDG_CACHE_HOME:-~/.cache}/reattend/third_party, so that other build folders find it there.

# Third-party code is compiled without warnings; ours sees its headers as system headers.
function(vendor_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_options(${name} PRIVATE -w)
endfunction()

# One line (the leading space keeps CMake from breaking it) with the ways out; leaves no half of a download behind.
function(source_package_fail work name ways_out what)
  if(work)
    file(REMOVE_RECURSE ${work})
  endif()
  message(FATAL_ERROR " ${name}: ${what}; connect to the network and configure again, or pass ${ways_out}")
endfunction()

# source_package_download(FOLDER NAME VERSION SHA256 MEGABYTES WAYS_OUT ARCHIVE_VARIABLE): the package's source archive, with pip
function(source_package_download folder name version sha256 megabytes ways_out archive_variable)
  find_package(Python3 COMPONENTS Interpreter QUIET)
  if(NOT Python3_FOUND)
    source_package_fail(${folder} ${name} "${ways_out}"
      "expected python3 with pip, found no python3; install python3 python3-pip")
  endif()
  execute_process(COMMAND ${Python3_EXECUTABLE} -m pip --version RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(NOT status EQUAL 0)
    source_package_fail(${folder} ${name} "${ways_out}"
      "expected pip for ${Python3_EXECUTABLE}, found none; install python3-pip")
  endif()
  message(STATUS "${name} ${version}: downloading the source package (${megabytes} MB) with pip")
  file(WRITE ${folder}/requirements.txt "${name}==${version} --hash=sha256:${sha256}\n")
  # pip asks a source package's own build backend for its metadata, which here would run the package's code and pull in
  # unpinned packages first. The stand-ins in pip_stub/ answer instead.
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${CMAKE_CURRENT_FUNCTION_LIST_DIR}/pip_stub PYTHONDONTWRITEBYTECODE=1
      ${Python3_EXECUTABLE} -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all:
      --no-build-isolation --require-hashes --retries 2 -r ${folder}/requirements.txt -d ${folder}
    RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    string(STRIP "${text}" text)
    string(REGEX REPLACE ".*\n" "" last_line "${text}")
    source_package_fail(${folder} ${name} "${ways_out}" "pip could not download version ${version} (${last_line})")
  endif()
  file(GLOB archives ${folder}/*-${version}.tar.gz)
  set(${archive_variable} "${archives}" PARENT_SCOPE)
endfunction()

# source_package(NAME name VERSION version SHA256 sha256 MEGABYTES n INSIDE folder ARCHIVE file DIRECTORY directory
#                PATTERNS pattern ... NEEDED file ... WAYS_OUT text RESULT variable)
#
# Sets RESULT to the folder INSIDE of the package's tree, in which the files that match PATTERNS lie. ARCHIVE (a downloaded
# archive) and DIRECTORY (an unpacked tree) take the place of the download where they are not empty.
function(source_package)
  cmake_parse_arguments(ARG "" "NAME;VERSION;SHA256;MEGABYTES;INSIDE;ARCHIVE;DIRECTORY;WAYS_OUT;RESULT" "PATTERNS;NEEDED"
    ${ARGN})
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(cache $ENV{XDG_CACHE_HOME})
  elseif(DEFINED ENV{HOME})
    set(cache $ENV{HOME}/.cache)
  else()
    set(cache ${CMAKE_BINARY_DIR}/.cache)
  endif()
  set(place ${cache}/reattend/third_party/${ARG_NAME}-${ARG_VERSION})
  set(stamp ${place}/complete-${ARG_SHA256})
  if(ARG_DIRECTORY)
    set(place ${ARG_DIRECTORY})
  elseif(NOT EXISTS ${stamp})
    # Unpacked beside its place and renamed when complete: neither an interrupted nor a simultaneous run leaves half a tree.
    string(RANDOM LENGTH 8 suffix)
    set(work ${place}.${suffix})
    file(MAKE_DIRECTORY ${work})
    set(archive ${ARG_ARCHIVE})
    if(archive AND NOT EXISTS ${archive})
      source_package_fail(${work} ${ARG_NAME} "${ARG_WAYS_OUT}" "the archive ${archive} does not exist")
    elseif(NOT archive)
      source_package_download(${work} ${ARG_NAME} ${ARG_VERSION} ${ARG_SHA256} ${ARG_MEGABYTES} "${ARG_WAYS_OUT}" archive)
    endif()
    file(SHA256 ${archive} sha256)
    if(NOT sha256 STREQUAL ARG_SHA256)
      source_package_fail(${work} ${ARG_NAME} "${ARG_WAYS_OUT}" "${archive}: expected sha256 ${ARG_SHA256}, got ${sha256}")
    endif()
    string(REPLACE "-" "_" root ${ARG_NAME}-${ARG_VERSION})
    string(REGEX REPLACE "_([0-9.]+)$" "-\\1" root ${root})
    list(TRANSFORM ARG_PATTERNS PREPEND ${root}/${ARG_INSIDE}/)
    file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${work}/unpacked PATTERNS ${ARG_PATTERNS})
    file(WRITE ${work}/unpacked/${root}/complete-${ARG_SHA256} "")
    if(NOT EXISTS ${stamp})
      file(REMOVE_RECURSE ${place})
      file(RENAME ${work}/unpacked/${root} ${place})
    endif()
    file(REMOVE_RECURSE ${work})
    message(STATUS "${ARG_NAME} ${ARG_VERSION}: unpacked into ${place}")
  endif()
  foreach(needed ${ARG_NEEDED})
    if(NOT EXISTS ${place}/${ARG_INSIDE}/${needed})
      source_package_fail("" ${ARG_NAME} "${ARG_WAYS_OUT}" "expected ${place}/${ARG_INSIDE}/${needed}, which is missing")
    endif()
  endforeach()
  set(${ARG_RESULT} ${place}/${ARG_INSIDE} PARENT_SCOPE)
endfunction()

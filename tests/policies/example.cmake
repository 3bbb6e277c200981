# The worked example of docs/add-a-policy.md as sources: its file, and the registry with its line added.
set(page ${CMAKE_SOURCE_DIR}/docs/add-a-policy.md)
set(registry ${CMAKE_SOURCE_DIR}/policies/registry.cpp)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page} ${registry})
set(example_folder ${CMAKE_CURRENT_BINARY_DIR}/example)

# The block of the page that begins with the file's name.
function(example_block file out)
  file(READ ${page} text)
  string(FIND "${text}" "```cpp\n// ${file}\n" begin)
  if(begin EQUAL -1)
    message(FATAL_ERROR "${page}: expected a block that begins with // ${file}")
  endif()
  string(SUBSTRING "${text}" ${begin} -1 text)
  string(LENGTH "```cpp\n// ${file}\n" length)
  string(SUBSTRING "${text}" ${length} -1 text)
  string(FIND "${text}" "```" end)
  string(SUBSTRING "${text}" 0 ${end} text)
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

# Replaces what must be there.
function(example_replace variable from to)
  string(FIND "${${variable}}" "${from}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "docs/add-a-policy.md: \"${from}\" is no longer where its example is added")
  endif()
  string(REPLACE "${from}" "${to}" ${variable} "${${variable}}")
  set(${variable} "${${variable}}" PARENT_SCOPE)
endfunction()

example_block(policies/anchored.cpp body)
file(CONFIGURE OUTPUT ${example_folder}/anchored.cpp CONTENT "${body}" @ONLY)

example_block(policies/registry.cpp row)
file(READ ${registry} text)
example_replace(text "  POLICY(full)                    \\\n" "  POLICY(full)                    \\\n${row}")
file(CONFIGURE OUTPUT ${example_folder}/registry.cpp CONTENT "${text}" @ONLY)

set(example_sources ${example_folder}/anchored.cpp ${example_folder}/registry.cpp)

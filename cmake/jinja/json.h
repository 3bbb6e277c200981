// The JSON type that the Jinja engine's sources name, from the library that this project uses anyway.
#pragma once
#include <nlohmann/json.hpp>

using common_json = nlohmann::ordered_json;

// As code.h, for the command line.
#pragma once

#include <CLI/CLI.hpp>

#include "cmake/quick/code.h"
#include "cmake/quick/json_templates.h"

GYGES_JSON_TEMPLATES(extern)

// As code.h, for the command line.
#pragma once

#include <CLI/CLI.hpp>

#include "cmake/precompiled/code.h"

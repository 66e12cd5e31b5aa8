// As code.h, for tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "cmake/quick/code.h"
#include "cmake/quick/json_templates.h"

GYGES_JSON_TEMPLATES(extern)

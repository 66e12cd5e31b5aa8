// The tools that ship with Gyges.
#pragma once

#include "tools/tool.h"

namespace gyges::tools {

const Tool& bash_tool();
const Tool& read_file_tool();
const Tool& write_file_tool();
const Tool& list_dir_tool();
const Tool& submit_tool();

}  // namespace gyges::tools

// The tools that ship with Gyges.
#pragma once

#include "tools/tool.h"

namespace gyges::tools {

const Tool& bash_tool();
const Tool& bash_session_tool();
const Tool& python_tool();
const Tool& read_file_tool();
const Tool& write_file_tool();
const Tool& edit_file_tool();
const Tool& list_dir_tool();
const Tool& search_tool();
const Tool& http_request_tool();
const Tool& mail_tool();
const Tool& ask_human_tool();
const Tool& notify_tool();
const Tool& think_tool();
const Tool& todo_tool();
const Tool& submit_tool();

}  // namespace gyges::tools

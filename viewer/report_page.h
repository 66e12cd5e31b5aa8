// The front end of the report: one HTML page with script and style inside. It shows the data that
// is put into it (analysis/report/html_report.h), or that it gets from the server it came from.
#pragma once

#include <string_view>

namespace gyges::viewer {

// Lives as long as the program.
std::string_view report_page();

}  // namespace gyges::viewer

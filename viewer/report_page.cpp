#include "viewer/report_page.h"

extern "C" const char gyges_report_page_begin[];
extern "C" const char gyges_report_page_end[];

namespace gyges::viewer {

std::string_view report_page() {
  return {gyges_report_page_begin, gyges_report_page_end};
}

}  // namespace gyges::viewer

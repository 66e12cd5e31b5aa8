#include "cmake/quick/json_templates.h"

GYGES_JSON_TEMPLATES()

#include "base/json.h"

GYGES_JSON_TEMPLATES()

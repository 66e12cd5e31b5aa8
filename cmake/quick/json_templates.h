// The parts of nlohmann::json that every user of it instantiates, for one explicit instantiation:
// GYGES_JSON_TEMPLATES(extern) declares it, GYGES_JSON_TEMPLATES() is it (json_templates.cpp).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#define GYGES_JSON_TEMPLATES(prefix)                                                       \
  namespace nlohmann {                                                                     \
  prefix template class basic_json<>;                                                      \
  namespace detail {                                                                       \
  prefix template class serializer<json>;                                                  \
  prefix template class lexer_base<json>;                                                  \
  prefix template class json_sax_dom_parser<json>;                                         \
  prefix template class json_sax_dom_callback_parser<json>;                                \
  prefix template class lexer<json, iterator_input_adapter<const char*>>;                  \
  prefix template class lexer<json, iterator_input_adapter<std::string::const_iterator>>;  \
  prefix template class parser<json, iterator_input_adapter<const char*>>;                 \
  prefix template class parser<json, iterator_input_adapter<std::string::const_iterator>>; \
  }                                                                                        \
  }

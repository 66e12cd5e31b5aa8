// nlohmann::json without its costs for the build: what every user of it instantiates is compiled once,
// in json.cpp. A source that includes <nlohmann/json.hpp> itself works as well, and takes longer to
// compile (1.6 times at -O3, 1.2 times at -O1, measured on one source). Programs that include this
// link gyges_base.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

// GYGES_JSON_TEMPLATES(extern) declares the explicit instantiation, GYGES_JSON_TEMPLATES() is it.
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

GYGES_JSON_TEMPLATES(extern)

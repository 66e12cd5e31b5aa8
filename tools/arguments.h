// Checks the arguments a model gave against the schema of the tool it called.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::tools {

// The JSON Schema (draft 7) of one tool's arguments, read once. Movable. Not thread-safe.
class ArgumentSchema {
 public:
  // `text` is the schema of an object.
  static Result<ArgumentSchema> compile(std::string tool, std::string_view text);
  ArgumentSchema();
  ~ArgumentSchema();
  ArgumentSchema(ArgumentSchema&&) noexcept;
  ArgumentSchema& operator=(ArgumentSchema&&) noexcept;

  // Empty when they fit; otherwise what is wrong, for the model.
  [[nodiscard]] std::string fault(const nlohmann::json& arguments) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

// A path as the model wrote it: a leading ~ stands for the agent's home.
std::string expand_home(const std::string& path, const std::string& home);

}  // namespace gyges::tools

#include "sandbox/isolation/plan_steps.h"

#include <utility>

namespace gyges::isolation {

using init::Op;

Step& StepWriter::add(Op op, std::string words) {
  Step step;
  step.op = op;
  step.words = std::move(words);
  steps_.push_back(std::move(step));
  return steps_.back();
}

Step& StepWriter::add_path(Op op, std::string words, std::string path) {
  Step& step = add(op, std::move(words));
  step.a = std::move(path);
  return step;
}

void StepWriter::make_path(std::string path, unsigned mode) {
  std::string words = "make directory " + path;
  add_path(Op::make_path, std::move(words), std::move(path)).number[0] = mode;
}

void StepWriter::mount(std::string words, std::string type, std::string path, std::uint64_t flags,
                       std::string data) {
  Step& step = add(Op::mount, std::move(words));
  step.a = std::move(type);
  step.b = std::move(path);
  step.c = std::move(data);
  step.number[0] = flags;
}

void StepWriter::write_file(std::string words, std::string path, std::string content) {
  Step& step = add_path(Op::write_file, std::move(words), std::move(path));
  step.b = std::move(content);
}

}  // namespace gyges::isolation

// What `gyges trace show` prints of a call's arguments, against what strace prints of them: every
// argument, and every field that strace shows of a structure, call by call.
//
// Notations that mean the same are made the same first: how bytes are escaped, base of numbers,
// order of flags, remarks in /* */, names of descriptors. We may show fields that strace leaves
// out. Every other difference has a row in decoding_notations.inc, with its reason; a difference
// without a row fails, and so does a row without a difference.
#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <filesystem>
#include <set>

#include "sandbox/recorder/format/syscall_table.h"
#include "truth_fixture.h"

namespace gyges::recorder {
namespace {

// Patterns of fnmatch(3). `place` is the argument's index, and names of fields behind dots.
struct Notation {
  const char* call;
  const char* place;
  const char* strace;
  const char* ours;
  const char* reason;
};
constexpr Notation notations[] = {
#include "decoding_notations.inc"
};

bool fits(const char* pattern, const std::string& text) {
  return ::fnmatch(pattern, text.c_str(), 0) == 0;
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

// The string that starts at `at`, as hexadecimal digits in quotes; `at` moves behind it.
std::string plain_string(const std::string& text, std::size_t& at) {
  std::string out = "\"";
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    unsigned value = static_cast<unsigned char>(text[at]);
    if (text[at] == '\\' && at + 1 < text.size()) {
      const char kind = text[++at];
      constexpr std::string_view letters = "abtnvfr";  // 7 to 13
      if (kind == 'x') {
        value = static_cast<unsigned>(std::stoul(text.substr(at + 1, 2), nullptr, 16));
        at += 2;
      } else if (kind >= '0' && kind <= '7') {
        value = 0;
        std::size_t digits = 0;
        for (; digits < 3 && text[at] >= '0' && text[at] <= '7'; ++digits)
          value = value * 8 + static_cast<unsigned>(text[at++] - '0');
        --at;
      } else if (const std::size_t place = letters.find(kind); place != std::string_view::npos) {
        value = 7 + static_cast<unsigned>(place);
      } else {
        value = static_cast<unsigned char>(kind);
      }
    }
    out += fmt::format("{:02x}", value);
  }
  if (at < text.size()) ++at;
  return out + "\"";
}

// A number in decimal; what is long enough to be an address in memory is one.
std::string plain_word(const std::string& word) {
  const bool hex = word.starts_with("0x") && word.size() > 2;
  if (hex && word.size() >= 12) return "ADDRESS";
  const bool octal =
      word.size() > 1 && word[0] == '0' && word.find_first_not_of("01234567") == std::string::npos;
  if (hex) return std::to_string(std::stoull(word, nullptr, 16));
  return octal ? std::to_string(std::stoull(word, nullptr, 8)) : word;
}

std::string plain(const std::string& text) {
  std::string out;
  std::size_t i = 0;
  while (i < text.size()) {
    if (text[i] == '"') {
      out += plain_string(text, i);
    } else if (text.compare(i, 2, "/*") == 0) {
      i = std::min(text.find("*/", i), text.size() - 2) + 2;
      while (out.ends_with(' ')) out.pop_back();
    } else if (text[i] == '<' && i > 0 && is_digit(text[i - 1])) {
      i = std::min(text.find('>', i), text.size() - 1) + 1;
    } else if (is_word(text[i])) {
      std::set<std::string> words;  // of A|B|C
      do {
        if (text[i] == '|') ++i;
        if (text.compare(i, 3, "1<<") == 0) i += 3;  // before the name of a bit's number
        std::string word;
        while (i < text.size() && is_word(text[i])) word += text[i++];
        words.insert(plain_word(word));
      } while (i + 1 < text.size() && text[i] == '|' && is_word(text[i + 1]));
      std::string joined;
      for (const std::string& word : words) joined += (joined.empty() ? "" : "|") + word;
      out += joined;
    } else {
      out += text[i++];
    }
  }
  while (out.ends_with(' ')) out.pop_back();
  out.erase(0, out.find_first_not_of(' '));
  return out;
}

struct Difference {
  std::string place, strace, ours;
};

bool enclosed(const std::string& text, char open, char close) {
  return text.size() >= 2 && text.front() == open && text.back() == close;
}

std::string name_in(const std::string& field) {
  const std::size_t equals = field.find_first_of("={[\"");
  return equals == std::string::npos || field[equals] != '=' ? "" : field.substr(0, equals);
}

void compare_values(const std::string& place, const std::string& strace, const std::string& ours,
                    std::vector<Difference>& differences) {
  if (strace == ours) return;
  const bool structures = enclosed(strace, '{', '}') && enclosed(ours, '{', '}');
  const bool arrays = enclosed(strace, '[', ']') && enclosed(ours, '[', ']');
  if (!structures && !arrays) {
    differences.push_back({place, strace, ours});
    return;
  }
  const auto inner = [](const std::string& text) {
    return split_arguments(text.substr(1, text.size() - 2));
  };
  const std::vector<std::string> theirs = inner(strace);
  const std::vector<std::string> shown = inner(ours);
  if (arrays && theirs.size() != shown.size()) {
    differences.push_back({place, strace, ours});
    return;
  }
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    if (theirs[i] == "...") continue;
    const std::string name = name_in(theirs[i]);
    std::string counterpart = i < shown.size() ? shown[i] : "(nothing)";
    if (!name.empty()) {
      counterpart = "(nothing)";
      for (const std::string& field : shown)
        if (name_in(field) == name) counterpart = field.substr(name.size() + 1);
    }
    compare_values(place + "." + (name.empty() ? std::to_string(i) : name),
                   name.empty() ? theirs[i] : theirs[i].substr(name.size() + 1), counterpart,
                   differences);
  }
}

class Decodings : public TruthFixture {
 protected:
  void compare(const std::vector<std::string>& argv) {
    with_text_ = true;
    const PlacedCalls truth = calls_by_strace(argv, {"-s", "64"});
    auto bpf = open_bpf_backend({});
    auto ptrace = open_ptrace_backend({});
    ASSERT_TRUE(bpf && ptrace);
    for (CaptureBackend* backend : {bpf->get(), ptrace->get()})
      compare_with(truth, calls_by_backend(*backend, argv));
  }

  void compare_with(const PlacedCalls& truth, const PlacedCalls& ours) {
    std::size_t compared = 0;
    for (const auto& [label, calls] : truth) {
      const auto found = ours.find(label);
      if (found == ours.end()) continue;  // TruthTest compares which calls there are
      for (std::size_t i = 0; i < std::min(calls.size(), found->second.size()); ++i) {
        if (calls[i].name != found->second[i].name) break;
        compare_call(calls[i], found->second[i]);
        names_.insert(calls[i].name);
        ++compared;
      }
    }
    EXPECT_GT(compared, 10U);
    calls_ += compared;
  }

  void compare_call(const StraceCall& theirs, const StraceCall& ours) {
    const std::vector<std::string> expected = split_arguments(theirs.arguments);
    const std::vector<std::string> actual = split_arguments(ours.arguments);
    std::vector<Difference> differences;
    for (std::size_t i = 0; i < std::max(expected.size(), actual.size()); ++i) {
      const std::string strace = i < expected.size() ? plain(expected[i]) : "";
      compare_values(std::to_string(i), strace, i < actual.size() ? plain(actual[i]) : "",
                     differences);
    }
    for (const Difference& difference : differences) {
      if (is_explained(theirs.name, difference)) continue;
      if (!told_.insert(theirs.name + difference.place + difference.strace).second) continue;
      ADD_FAILURE() << theirs.name << " " << difference.place << "\n  strace: " << difference.strace
                    << "\n  ours:   " << difference.ours;
    }
  }

  bool is_explained(const std::string& call, const Difference& difference) {
    for (const Notation& notation : notations)
      if (fits(notation.call, call) && fits(notation.place, difference.place) &&
          fits(notation.strace, difference.strace) && fits(notation.ours, difference.ours)) {
        used_.insert(&notation);
        return true;
      }
    return false;
  }

  std::set<std::string> told_;
  std::set<std::string> names_;
  std::set<const Notation*> used_;
  std::size_t calls_ = 0;
};

TEST_F(Decodings, AreThoseOfStrace) {
  for (const char* name :
       {"structures", "threads", "vforks", "exec_from_thread", "clones", "signals", "denied",
        "errors", "vectors_and_sockets", "clone3s", "restarted_call"})
    compare({GYGES_TRUTH_PROGRAMS, name});
  handlers_ = false;
  ASSERT_TRUE(write_file_atomically(directory_->path() / "a.c", "int main(void) { return 0; }\n"));
  compare({"/bin/sh", "-c", "echo hello | cat | tr a-z A-Z; test -e nothing || exit 3"});
  compare({"/bin/tar", "cf", "out.tar", "a.c"});
  EXPECT_GT(calls_, 1000U);
  EXPECT_GT(names_.size(), 120U);
  for (const Notation& notation : notations)
    // Numbers of two runs may be the same.
    EXPECT_TRUE(used_.contains(&notation) || notation.ours == std::string_view("[0-9]*"))
        << "explains nothing: " << notation.call << " " << notation.place << " " << notation.strace;
}

TEST_F(Decodings, CallsOf32Bits) {
  if (run({GYGES_TRUTH_PROGRAMS, "calls_of_32_bits"}) != 0) GTEST_SKIP() << "no 32-bit entry here";
  compare({GYGES_TRUTH_PROGRAMS, "calls_of_32_bits"});
}

TEST_F(Decodings, Git) {
  if (access("/usr/bin/git", X_OK) != 0) GTEST_SKIP() << "git is not installed";
  handlers_ = false;
  compare({"/usr/bin/git", "init", "-q", "repository"});
  compare({"/usr/bin/git", "-C", "repository", "status"});
}

TEST_F(Decodings, Python) {
  if (access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "python3 is not installed";
  handlers_ = false;
  compare({"/usr/bin/python3", "-E", "-s", "-c",
           "import json, os, socket, subprocess; subprocess.run(['true']); socket.socket()"});
}

}  // namespace
}  // namespace gyges::recorder

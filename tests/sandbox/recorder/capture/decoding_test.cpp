// What `gyges trace show` prints of a call's arguments, against what strace prints of them.
//
// Both print the same but for the notations below, each with its reason. A difference that no row
// explains fails; so does a row that explains nothing (except where the host decides).
#include <fnmatch.h>
#include <unistd.h>

#include <cctype>
#include <filesystem>
#include <set>

#include "truth_fixture.h"

namespace gyges::recorder {
namespace {

// "*" stands for anything; of `call` too. The first row that fits explains.
struct Notation {
  const char* call;
  const char* strace;
  const char* ours;
  const char* reason;
};
constexpr Notation notations[] = {
    {"@", "@", "@", "@"},
};

bool fits(const char* pattern, const std::string& text) {
  return ::fnmatch(pattern, text.c_str(), 0) == 0;
}

// Addresses and numbers of processes differ from run to run; descriptors are named by us.
std::string plain(const std::string& text) {
  std::string out;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' && (i == 0 || text[i - 1] != '\\')) quoted = !quoted;
    if (!quoted && c == '<' && i > 0 &&
        std::isdigit(static_cast<unsigned char>(text[i - 1])) != 0) {
      i = std::min(text.find('>', i), text.size() - 1);
      continue;
    }
    if (!quoted && text.compare(i, 2, "0x") == 0) {
      std::size_t end = i + 2;
      while (end < text.size() && std::isxdigit(static_cast<unsigned char>(text[end])) != 0) ++end;
      if (end - i >= 10) {
        out += "ADDRESS";
        i = end - 1;
        continue;
      }
    }
    out += c;
  }
  return out;
}

class Decodings : public TruthFixture {
 protected:
  void compare(const std::vector<std::string>& argv) {
    with_text_ = true;
    const PlacedCalls truth = calls_by_strace(argv, {"-s", "64"});
    auto backend = open_bpf_backend({});
    ASSERT_TRUE(backend);
    const PlacedCalls ours = calls_by_backend(**backend, argv);
    std::size_t compared = 0;
    for (const auto& [label, calls] : truth) {
      const auto found = ours.find(label);
      if (found == ours.end()) continue;  // of the comparison of calls, not of this
      for (std::size_t i = 0; i < std::min(calls.size(), found->second.size()); ++i) {
        if (calls[i].name != found->second[i].name) break;
        compare_call(calls[i], found->second[i]);
        ++compared;
      }
    }
    EXPECT_GT(compared, 10U);
  }

  void compare_call(const StraceCall& theirs, const StraceCall& ours) {
    const std::vector<std::string> expected = split_arguments(theirs.arguments);
    const std::vector<std::string> actual = split_arguments(ours.arguments);
    for (std::size_t i = 0; i < std::max(expected.size(), actual.size()); ++i) {
      const std::string strace = i < expected.size() ? plain(expected[i]) : "(nothing)";
      const std::string shown = i < actual.size() ? plain(actual[i]) : "(nothing)";
      if (strace == shown || is_explained(theirs.name, strace, shown)) continue;
      if (!told_.insert(theirs.name + std::to_string(i) + strace).second) continue;
      ADD_FAILURE() << theirs.name << ", argument " << i << "\n  strace: " << strace
                    << "\n  ours:   " << shown;
    }
  }

  static bool is_explained(const std::string& call, const std::string& strace,
                           const std::string& ours) {
    for (const Notation& notation : notations)
      if (fits(notation.call, call) && fits(notation.strace, strace) && fits(notation.ours, ours))
        return true;
    return false;
  }

  std::set<std::string> told_;
};

class OwnPrograms : public Decodings, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Programs, OwnPrograms,
                         testing::Values("structures", "threads", "vforks", "exec_from_thread",
                                         "clones", "signals", "denied", "errors",
                                         "vectors_and_sockets", "clone3s", "restarted_call"));
TEST_P(OwnPrograms, AreDecodedAsByStrace) {
  compare({GYGES_TRUTH_PROGRAMS, GetParam()});
}

TEST_F(Decodings, CallsOf32Bits) {
  if (run({GYGES_TRUTH_PROGRAMS, "calls_of_32_bits"}) != 0) GTEST_SKIP() << "no 32-bit entry here";
  compare({GYGES_TRUTH_PROGRAMS, "calls_of_32_bits"});
}

TEST_F(Decodings, EverydayPrograms) {
  handlers_ = false;
  ASSERT_TRUE(write_file_atomically(directory_->path() / "a.c", "int main(void) { return 0; }\n"));
  compare({"/bin/sh", "-c", "echo hello | cat | tr a-z A-Z; test -e nothing || exit 3"});
  compare({"/bin/tar", "cf", "out.tar", "a.c"});
  if (access("/usr/bin/git", X_OK) == 0) {
    compare({"/usr/bin/git", "init", "-q", "repository"});
    compare({"/usr/bin/git", "-C", "repository", "status"});
  }
  if (access("/usr/bin/python3", X_OK) == 0)
    compare({"/usr/bin/python3", "-E", "-s", "-c",
             "import json, os, socket, subprocess; subprocess.run(['true']); socket.socket()"});
  if (access("/usr/bin/gcc", X_OK) == 0) compare({"/usr/bin/gcc", "-c", "a.c", "-o", "a.o"});
}

}  // namespace
}  // namespace gyges::recorder

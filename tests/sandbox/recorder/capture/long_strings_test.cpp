// Strings at and beyond their limits, at the edge of memory, and lists with more of them than are
// kept: what is recorded is what was there, what is not is said to be missing or cut.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <vector>

#include "capture_fixture.h"
#include "sandbox/recorder/capture/kernel/record.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t page = 4096;

class LongStrings : public CaptureTest {
 protected:
  static const KeptCapture* of(const KeptEvent& call, CaptureKind kind) {
    for (const KeptCapture& capture : call.captures)
      if (capture.kind == kind && capture.argument != result_argument) return &capture;
    return nullptr;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, LongStrings, both_backends, backend_of_test);

// `text` at the end of readable memory: the page behind it is not there.
char* at_the_edge(std::string_view text) {
  const std::size_t pages = (text.size() + page - 1) / page + 1;
  auto* const area = static_cast<char*>(
      mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  char* const edge = area + (pages - 1) * page;
  munmap(edge, page);
  return static_cast<char*>(std::memcpy(edge - text.size(), text.data(), text.size()));
}

std::string path_of(std::size_t length) {
  std::string path;
  while (path.size() < length) path += "/gyges-is-not-here";
  path.resize(length, 'x');
  return path;
}

// PATH_MAX counts the NUL: 4095 is the longest, and whole.
TEST_P(LongStrings, PathsAroundTheLimit) {
  static_assert(wire::string_limit == PATH_MAX);
  const std::vector<std::size_t> lengths = {PATH_MAX - 2, PATH_MAX - 1, PATH_MAX, PATH_MAX + 1,
                                            3 * PATH_MAX};
  const Recording result = run([&] {
    int failures = 0;
    for (std::size_t length : lengths) {
      const std::string path = path_of(length);
      const bool fits = length < PATH_MAX;
      failures += syscall(SYS_rmdir, path.c_str()) != -1 || errno != (fits ? ENOENT : ENAMETOOLONG);
      failures += syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY) != -1 ||
                  errno != (fits ? ENOENT : ENAMETOOLONG);
    }
    return failures;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto removed = result.calls("rmdir");
  auto opened = result.calls("openat");
  ASSERT_EQ(removed.size(), lengths.size());
  ASSERT_GE(opened.size(), lengths.size());
  opened.erase(opened.begin(), opened.end() - static_cast<std::ptrdiff_t>(lengths.size()));
  for (std::size_t i = 0; i < lengths.size(); ++i)
    for (const KeptEvent* call : {removed[i], opened[i]}) {
      const KeptCapture* const path = of(*call, CaptureKind::path);
      ASSERT_NE(path, nullptr) << lengths[i];
      EXPECT_EQ(path->bytes, path_of(std::min<std::size_t>(lengths[i], PATH_MAX - 1)));
      EXPECT_EQ(path->truncated, lengths[i] >= PATH_MAX) << lengths[i];
      EXPECT_EQ(call->event.result, lengths[i] < PATH_MAX ? -ENOENT : -ENAMETOOLONG);
    }
}

TEST_P(LongStrings, AtTheEdgeOfMemory) {
  const std::string whole = std::string("/gyges/at-the-edge") + '\0';
  const std::string longest = path_of(PATH_MAX - 1) + '\0';
  const std::string too_long = path_of(PATH_MAX);  // and no NUL behind it
  const std::string open_end = "/gyges/without-an-end";
  const Recording result = run([&] {
    int failures = syscall(SYS_rmdir, at_the_edge(whole)) != -1 || errno != ENOENT;
    failures += syscall(SYS_rmdir, at_the_edge(longest)) != -1 || errno != ENOENT;
    failures += syscall(SYS_rmdir, at_the_edge(too_long)) != -1 || errno != ENAMETOOLONG;
    failures += syscall(SYS_rmdir, at_the_edge(open_end)) != -1 || errno != EFAULT;
    return failures;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto calls = result.calls("rmdir");
  ASSERT_EQ(calls.size(), 4U);
  const auto path = [&](std::size_t i) { return of(*calls[i], CaptureKind::path); };
  for (std::size_t i = 0; i < calls.size(); ++i) ASSERT_NE(path(i), nullptr) << i;
  EXPECT_EQ(path(0)->bytes + '\0', whole);
  EXPECT_FALSE(path(0)->truncated);
  EXPECT_EQ(path(1)->bytes + '\0', longest);
  EXPECT_FALSE(path(1)->truncated);
  EXPECT_EQ(path(2)->bytes, too_long.substr(0, PATH_MAX - 1));
  EXPECT_TRUE(path(2)->truncated);
  // The kernel had no path either; the address is in the arguments.
  EXPECT_EQ(path(3)->provenance, Provenance::missing);
  EXPECT_EQ(calls[3]->event.result, -EFAULT);
  EXPECT_NE(calls[3]->event.args[0], 0U);
}

// Lists as `execve` gets them, for an image that is not there, so that all comes from the caller.
TEST_P(LongStrings, ListsBeyondWhatIsKept) {
  const auto execute = [](const std::vector<std::string>& strings) {
    std::vector<char*> pointers;
    for (const std::string& one : strings) pointers.push_back(const_cast<char*>(one.c_str()));
    pointers.push_back(nullptr);
    return execve("/gyges/is-not-here", pointers.data(), nullptr) == -1 && errno == ENOENT ? 0 : 1;
  };
  const std::vector<std::string> as_many(wire::argv_strings, "ab");
  const std::vector<std::string> one_more(wire::argv_strings + 1, "ab");
  const std::vector<std::string> longest = {"x", std::string(wire::string_limit - 1, 'y'), "z"};
  const std::vector<std::string> too_long = {"x", std::string(10'000, 'y'), "z"};
  const std::vector<std::string> too_much(100, std::string(1000, 'v'));
  const Recording result = run([&] {
    return execute(as_many) + execute(one_more) + execute(longest) + execute(too_long) +
           execute(too_much);
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto calls = result.calls("execve");
  ASSERT_EQ(calls.size(), 5U);
  const auto list = [&](std::size_t i) { return of(*calls[i], CaptureKind::argv); };
  const auto joined = [](const std::vector<std::string>& strings) {
    std::string bytes;
    for (const std::string& one : strings) bytes += one + '\0';
    return bytes;
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    ASSERT_NE(list(i), nullptr) << i;
    EXPECT_EQ(list(i)->provenance, Provenance::enter) << i;
  }
  EXPECT_EQ(list(0)->bytes, joined(as_many));
  EXPECT_FALSE(list(0)->truncated) << "so many and no more";
  EXPECT_EQ(list(1)->bytes, joined(as_many));
  EXPECT_TRUE(list(1)->truncated);
  EXPECT_EQ(list(2)->bytes, joined(longest));
  EXPECT_FALSE(list(2)->truncated);
  EXPECT_EQ(list(3)->bytes, joined({"x", std::string(wire::string_limit - 1, 'y'), "z"}));
  EXPECT_TRUE(list(3)->truncated) << "a string of it was cut";
  EXPECT_TRUE(joined(too_much).starts_with(list(4)->bytes));
  EXPECT_GE(list(4)->bytes.size(), std::size_t{wire::argv_budget});
  EXPECT_TRUE(list(4)->truncated);
}

// An argument that points to nowhere: execve fails, and the path is there all the same.
TEST_P(LongStrings, AListThatPointsToNowhere) {
  const Recording result = run([] {
    char first[] = "first";
    char* argv[] = {first, reinterpret_cast<char*>(16), nullptr};
    return execve("/bin/true", argv, nullptr) == -1 && errno == EFAULT ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("execve").size(), 1U);
  const KeptEvent& call = *result.calls("execve")[0];
  EXPECT_EQ(call.event.result, -EFAULT);
  EXPECT_EQ(call.capture(CaptureKind::path), "/bin/true");
  ASSERT_NE(of(call, CaptureKind::argv), nullptr);
  EXPECT_EQ(of(call, CaptureKind::argv)->provenance, Provenance::missing);
}

// What the new image got is recorded as far as it goes, and said to be cut.
TEST_P(LongStrings, ALongArgumentOfAProgramThatRan) {
  const Recording result =
      run(program({"/bin/true", std::string(20'000, 'a'), std::string(20'000, 'b')}));
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("execve").size(), 1U);
  const KeptEvent& call = *result.calls("execve")[0];
  EXPECT_EQ(call.event.result, 0);
  ASSERT_NE(of(call, CaptureKind::argv), nullptr);
  EXPECT_TRUE(of(call, CaptureKind::argv)->truncated);
  EXPECT_TRUE(of(call, CaptureKind::argv)->bytes.starts_with(std::string("/bin/true\0aaa", 13)));
}

}  // namespace
}  // namespace gyges::recorder

// Gyges as a library: run a command in a sandbox from C++.
//
//   auto policy = gyges::sandbox::Policy::load("default");
//   if (!policy) return complain(policy.error());
//   auto outcome = gyges::sandbox::run(*policy, {{"python3", "-c", "print(6 * 7)"}});
//   if (!outcome) return complain(outcome.error());
//   std::cout << outcome->output;                        // 42
//
// The command sees the host's programs read-only and what the policy names besides, has no network,
// and its whole process tree is dead when the sandbox is stopped or the calling process ends.
// Needs Linux 5.15 or later; works as root and, where user namespaces are allowed, without.
//
// Threads: values may be copied and used anywhere. One Sandbox is used by one thread at a time, and
// the kernel ends it with the thread that started it; a sandbox taken from a Pool is not bound so.
// Errors are values; no function of this header throws but for want of memory. Strings that come
// from inside a sandbox (output, paths) are bytes chosen by the command: do not trust them.
//
// This header includes the standard library only, and the library exports nothing else.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#if defined(GYGES_BUILDING_LIBRARY)
#define GYGES_API __attribute__((visibility("default")))
#else
#define GYGES_API
#endif

namespace gyges::sandbox {

struct Error {
  std::string message;  // one line: what failed, on what, why, and what to do about it
  int code = 0;         // errno where a system call failed, else 0
};

// A T or an Error. Reading the one that is not there is undefined, as for std::optional.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return content_.index() == 0; }
  T& operator*() { return *std::get_if<0>(&content_); }
  const T& operator*() const { return *std::get_if<0>(&content_); }
  T* operator->() { return std::get_if<0>(&content_); }
  const T* operator->() const { return std::get_if<0>(&content_); }
  [[nodiscard]] const Error& error() const { return *std::get_if<1>(&content_); }

 private:
  std::variant<T, Error> content_;
};

// What a sandbox may do and see. docs/policy.md describes presets and files.
class GYGES_API Policy {
 public:
  // A preset ("default", "strict", "coding_agent", "observe") or the path of a policy file.
  static Result<Policy> load(const std::string& preset_or_path);

  // The text of a policy file. A key that is not known is an error.
  static Result<Policy> from_json(const std::string& text);

  // Copies with another limit; 0 lifts it.
  [[nodiscard]] Policy with_wall_time(std::chrono::seconds limit) const;
  [[nodiscard]] Policy with_memory(std::uint64_t bytes) const;
  [[nodiscard]] Policy with_processes(std::uint64_t count) const;
  [[nodiscard]] Policy with_output(std::uint64_t bytes) const;  // of one command, both streams

  // The whole policy as the text of a policy file.
  [[nodiscard]] std::string json() const;

 private:
  friend struct Access;
  struct Content;
  Policy() = default;
  std::shared_ptr<const Content> content_;
};

// A file that the sandbox finds when it starts; no change of the run. It must lie in a directory
// that the policy makes writable, /tmp and the home for example.
struct File {
  std::string path;  // absolute, inside
  std::string content;
  unsigned mode = 0644;
};

struct Options {
  std::string
      workspace;  // a host directory shown at its own path, as the policy says; may be empty
  std::vector<File> files = {};  // seeds
};

struct Command {
  std::vector<std::string> argv = {};         // argv[0] is looked up in the policy's PATH
  std::vector<std::string> environment = {};  // NAME=value, in addition to the policy's
  std::string directory = {};                 // inside; empty: the workspace, or the policy's home
  std::string input = {};                     // bytes on standard input
};

// A limit of the policy that was hit: "wall_seconds", "memory_bytes", "output_bytes", ...
struct LimitHit {
  std::string limit = {};
  std::string detail = {};
};

struct Outcome {
  int exit_code = 0;                 // when signal is 0; 126, 127: the program could not be started
  int signal = 0;                    // the signal that ended the command, or 0
  std::string start_error;           // why the program could not be started, or empty
  std::string output;                // standard output
  std::string error;                 // standard error
  std::vector<LimitHit> limits_hit;  // of the sandbox so far

  [[nodiscard]] bool success() const { return signal == 0 && exit_code == 0; }
};

struct Change {
  enum class Kind { added, modified, deleted };
  Kind kind = Kind::added;
  std::string path;   // bytes, absolute, inside
  char type = 'f';    // f file, d directory, l link, p FIFO, s socket, c device
  unsigned mode = 0;  // permission bits with setuid, setgid, sticky
  std::uint64_t size = 0;
  std::string sha256;  // hex; files whose content was collected
};

struct End {
  std::vector<LimitHit> limits_hit;
  std::vector<Change> changes;
  bool changes_complete = true;      // false: more than the limits of collection
  std::uint32_t processes_left = 0;  // that had to be killed
};

// A sandbox in which commands run one after another. Destruction kills everything inside.
class GYGES_API Sandbox {
 public:
  static Result<Sandbox> start(const Policy& policy, const Options& options = {});
  Sandbox(Sandbox&&) noexcept;
  Sandbox& operator=(Sandbox&&) noexcept;
  ~Sandbox();

  // Runs a command and waits for its end. Output past the policy's output limit is dropped and
  // noted. What the command leaves running goes on until stop(). At the timeout the command's
  // process group is killed (signal 9 in the outcome).
  Result<Outcome> run(const Command& command,
                      std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  // Kills everything inside and says what changed. The contents of changed files go to
  // `contents_directory`, one file named by its SHA-256 each; empty: no contents.
  Result<End> stop(const std::string& contents_directory = {});

 private:
  friend class Pool;
  struct State;
  explicit Sandbox(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Sandboxes made ahead by a thread, so that taking one costs a message. Each is used once.
class GYGES_API Pool {
 public:
  // `size` sandboxes wait at a time, 1 to 256.
  static Result<Pool> create(const Policy& policy, const Options& options, std::uint32_t size);
  Pool(Pool&&) noexcept;
  Pool& operator=(Pool&&) noexcept;
  ~Pool();

  // Thread-safe. Starts one where none is ready. Limits count from here.
  Result<Sandbox> take();

 private:
  struct State;
  explicit Pool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One command in a sandbox of its own.
GYGES_API Result<Outcome> run(const Policy& policy, const Command& command,
                              const Options& options = {});

// The version of the library, "0.1.0".
GYGES_API const char* version();

}  // namespace gyges::sandbox

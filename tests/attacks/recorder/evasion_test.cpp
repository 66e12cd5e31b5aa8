// Group A of the attack inventory: attempts to act without being recorded, or to be recorded wrong.
// Each has a control: the same attempt where nothing guards. A12, A13 and A19, which try to be more
// than the record can take, stand in flood_test.cpp; README.md has the whole list.
#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <set>

#include "attack_run.h"
#include "sandbox/recorder/format/event_text.h"

namespace gyges::attacks {
namespace {

using recorder::Backend;
using recorder::CaptureKind;
using recorder::Event;
using recorder::EventKind;
using recorder::Verdict;

constexpr int worked = 0;
constexpr int refused = 10;

class Evasion : public AttackTest {};

INSTANTIATE_TEST_SUITE_P(Backends, Evasion, testing::Values(Backend::ebpf, Backend::ptrace),
                         [](const auto& parameter) {
                           return std::string(recorder::backend_name(parameter.param));
                         });

// A1, A2
TEST_P(Evasion, IoUringIsRefusedAndSeen) {
  const Attempt control = unguarded({"io_uring"});
  if (control.exit_code != worked) GTEST_SKIP() << "this kernel has io_uring switched off";
  EXPECT_EQ(attempt({"io_uring"}).exit_code, refused);
  long seen = 0;
  each_call("io_uring_setup", [&](const Event& event) {
    ++seen;
    EXPECT_EQ(event.result, -ENOSYS);
    EXPECT_EQ(event.verdict, Verdict::refused);
  });
  EXPECT_EQ(seen, 1);
}

// A3
TEST_P(Evasion, Ia32CallsAreKilledAndSeen) {
  if (unguarded({"ia32_call"}).exit_code != worked) GTEST_SKIP() << "no 32-bit entry here";
  EXPECT_EQ(attempt({"ia32_call"}).signal, SIGSYS);
  long seen = 0;
  each_call("getpid", [&](const Event& event) {
    if (event.abi != recorder::Abi::i386) return;
    ++seen;
    EXPECT_EQ(event.number, 20U);
    EXPECT_EQ(event.verdict, Verdict::killed);
    EXPECT_FALSE(event.has_exit);
  });
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(count_calls("writev"), 0);
}

// A4
TEST_P(Evasion, Ia32SocketcallIsKilledAndSeen) {
  const Attempt control = unguarded({"vsock_by_socketcall"});
  if (control.exit_code != worked) GTEST_SKIP() << "no vsock by socketcall here";
  EXPECT_EQ(attempt({"vsock_by_socketcall"}).signal, SIGSYS);
  EXPECT_EQ(count_calls("socketcall"), 1);
}

// A5
TEST_P(Evasion, X32CallsDoNotExistAndAreSeen) {
  // The kernel answers ENOSYS or does it; the point of the control is that the program lives.
  ASSERT_EQ(unguarded({"x32_call"}).exit_code, worked);
  EXPECT_EQ(attempt({"x32_call"}).exit_code, worked);  // it lives with ENOSYS, as on the host
  long seen = 0;
  each_event([&](const Event& event) {
    if (event.kind != EventKind::syscall || event.abi != recorder::Abi::x32) return;
    ++seen;
    EXPECT_EQ(event.number & 0x3fffffffU, static_cast<unsigned>(SYS_getppid));
    EXPECT_EQ(event.verdict, Verdict::refused);
    EXPECT_EQ(event.result, -ENOSYS);
  });
  EXPECT_EQ(seen, 1);
}

// A6
TEST_P(Evasion, OwnListenerHidesNothing) {
  const Attempt control = unguarded({"own_listener"});
  ASSERT_EQ(control.exit_code, worked);
  ASSERT_EQ(control.said("listener"), 1);
  const Attempt inside = attempt({"own_listener"});
  EXPECT_EQ(inside.exit_code, refused);
  EXPECT_EQ(count_calls("getpgrp"), 5);
  EXPECT_EQ(count_calls("seccomp"), 1);
}

// A7
TEST_P(Evasion, CallsThatItsOwnFilterRefusesAreSeen) {
  ASSERT_EQ(unguarded({"own_errno"}).said("refusals"), 5);
  EXPECT_EQ(attempt({"own_errno"}).said("refusals"), 5);
  long seen = 0;
  each_call("mkdir", [&](const Event& event) {
    ++seen;
    EXPECT_EQ(event.result, -EXDEV);
    EXPECT_EQ(captured(event, CaptureKind::path), "/tmp/gyges_hidden");
    EXPECT_EQ(event.verdict, Verdict::refused);
  });
  EXPECT_EQ(seen, 5);
}

// A7
TEST_P(Evasion, CallsThatItsOwnFilterTrapsAreSeen) {
  ASSERT_EQ(unguarded({"own_trap"}).said("traps"), 5);
  EXPECT_EQ(attempt({"own_trap"}).said("traps"), 5);
  long seen = 0;
  each_call("mkdir", [&](const Event& event) {
    ++seen;
    EXPECT_EQ(event.verdict, Verdict::refused);
    EXPECT_EQ(captured(event, CaptureKind::path), "/tmp/gyges_hidden");
  });
  EXPECT_EQ(seen, 5);
  long signals = 0;
  each_event([&](const Event& event) {
    signals += event.kind == EventKind::signal && event.args[0] == SIGSYS;
  });
  EXPECT_EQ(signals, 5);
}

// A8
TEST_P(Evasion, UntracedChildrenAreSeenOrNotMade) {
  const Attempt control = unguarded({"untraced_child"});
  ASSERT_EQ(control.exit_code, worked);
  ASSERT_EQ(control.said("children"), 2);
  const Attempt inside = attempt({"untraced_child"});
  const long children = inside.said("children");
  ASSERT_GE(children, 0);
  EXPECT_EQ(count_calls("getpgrp"), 100 * children);
  EXPECT_EQ(count_calls("clone3"), 1);
}

// A9: the object that the kernel used is right in every call; that the program asked for another
// one shows.
TEST_P(Evasion, ARacedPathCannotLie) {
  const long opens = bpf() ? 100000 : 5000;
  const Attempt control = unguarded({"raced_path", "5000"});
  ASSERT_EQ(control.exit_code, worked);
  ASSERT_GT(control.said("opened_a"), 0);
  ASSERT_GT(control.said("opened_b"), 0);
  const Attempt inside = attempt({"raced_path", std::to_string(opens)});
  ASSERT_EQ(inside.exit_code, worked);
  long opened = 0;
  long wrong = 0;
  long disagreements = 0;
  long said = 0;
  std::uint64_t last_disagreement = 0;
  std::string object;
  each_event([&](const Event& event) {
    if (event.kind == EventKind::path_disagreement) {
      ++said;
      EXPECT_EQ(event.sequence, last_disagreement + 1) << "it follows its call";
      EXPECT_EQ(event.args[0], 1U);
      EXPECT_EQ(recorder::syscall_name(event.abi, event.number), "openat");
      EXPECT_NE(captured(event, CaptureKind::path).back(), used_object(event).back());
    }
    if (event.kind != EventKind::syscall) return;
    const std::string name = recorder::syscall_name(event.abi, event.number);
    const std::string asked = captured(event, CaptureKind::path);
    if (name == "openat" && asked.find("/race_") != std::string::npos &&
        (event.args[2] & O_ACCMODE) == O_RDONLY) {
      ++opened;
      object = used_object(event);
      ASSERT_FALSE(object.empty());
      if (asked.back() != object.back()) {
        ++disagreements;
        last_disagreement = event.sequence;
      }
    } else if (name == "read" && !object.empty()) {
      wrong += "/tmp/race_" + captured(event, CaptureKind::buffer_out) != object;
      object.clear();
    }
  });
  EXPECT_EQ(opened, opens);
  EXPECT_EQ(wrong, 0);
  // The attack is real: the path that was read at entry was not always the one that was used.
  EXPECT_GT(disagreements, 0);
  EXPECT_EQ(said, disagreements) << "each is an event of its own, and nothing else is";
  std::printf("raced path: %ld opens, %ld times another object than asked for, %ld wrong\n", opened,
              disagreements, wrong);
}

// A10, A11
TEST_P(Evasion, ASignalStormLosesAndDoublesNothing) {
  const long rounds = bpf() ? 2000 : 500;
  const Attempt control = unguarded({"signal_storm", std::to_string(rounds)});
  ASSERT_GT(control.said("interrupted"), 100);
  const Attempt inside = attempt({"signal_storm", std::to_string(rounds)});
  ASSERT_EQ(inside.exit_code, worked);
  EXPECT_GT(inside.said("interrupted"), 100);
  EXPECT_EQ(count_calls("getpgrp"), rounds);
  long interrupted = 0;
  const auto count_interrupted = [&](const Event& event) {
    // -516 is ERESTART_RESTARTBLOCK: the sleep was cut short by a handler.
    interrupted += event.result == -EINTR || event.result == -512 || event.result == -516;
  };
  each_call("clock_nanosleep", count_interrupted);
  each_call("nanosleep", count_interrupted);
  each_call("read", count_interrupted);
  EXPECT_EQ(interrupted, inside.said("interrupted"));
  long signals = 0;
  each_event([&](const Event& event) {
    signals += event.kind == EventKind::signal && event.args[0] == SIGALRM;
  });
  EXPECT_EQ(signals, inside.said("signals"));
  EXPECT_EQ(count_calls("rt_sigreturn"), signals);
}

// A14
TEST_P(Evasion, DataThatMovesWithoutWriteIsSeen) {
  ASSERT_EQ(unguarded({"indirect_writes"}).exit_code, worked);
  ASSERT_EQ(attempt({"indirect_writes"}).exit_code, worked);
  EXPECT_EQ(count_calls("copy_file_range"), 1);
  EXPECT_EQ(count_calls("splice"), 1);
  std::string sent;
  each_call("sendmmsg", [&](const Event& event) { sent = captured(event, CaptureKind::iovec_in); });
  EXPECT_EQ(sent, "by sendmmsg");
}

// A14, A15: what no recorder of system calls can see is said.
TEST_P(Evasion, GapsAreNamed) {
  const Attempt inside = attempt({"first_instruction"});
  std::string all;
  for (const std::string& gap : inside.coverage.not_observable) all += gap + "\n";
  for (const char* gap : {"vDSO", "memory-mapped", "io_uring", "rdtsc"})
    EXPECT_NE(all.find(gap), std::string::npos) << gap;
}

// A16
TEST_P(Evasion, ForgedLinesAttributeNothing) {
  // The control: lines like these come out unhindered.
  ASSERT_NE(unguarded({"forged_events"}).output.find("tool_executed"), std::string::npos);
  const Attempt inside = attempt({"forged_events"});
  EXPECT_NE(inside.output.find("tool_executed"), std::string::npos);
  EXPECT_EQ(inside.said("descriptor"), -1) << "a descriptor was open that nobody declared";
  each_event([&](const Event& event) {
    EXPECT_NE(event.kind, EventKind::tool_call_start);
    EXPECT_NE(event.kind, EventKind::tool_call_end);
    if (event.kind == EventKind::syscall) {
      EXPECT_EQ(event.origin_call, 7U);
    }
  });
}

// A17
TEST_P(Evasion, HostileBytesAreKeptAndEscaped) {
  ASSERT_EQ(unguarded({"hostile_bytes"}).exit_code, worked);
  ASSERT_EQ(attempt({"hostile_bytes"}).exit_code, worked);
  bool path_kept = false;
  bool argument_kept = false;
  each_event([&](const Event& event) {
    for (const recorder::Capture& capture : event.captures) {
      const bool hostile = capture.bytes.find("\x1b]0;owned") != std::string_view::npos;
      path_kept = path_kept || (hostile && capture.kind == CaptureKind::path);
      argument_kept = argument_kept || (hostile && capture.kind == CaptureKind::argv);
    }
    const std::string text = recorder::format_event(event);
    const bool clean = std::all_of(text.begin(), text.end(),
                                   [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
    EXPECT_TRUE(clean) << "a control character in the text of event " << event.sequence;
    EXPECT_EQ(text.find("\u202e"), std::string::npos);
  });
  EXPECT_TRUE(path_kept);
  EXPECT_TRUE(argument_kept);
}

// A18
TEST_P(Evasion, AnImageWithoutANameIsIdentified) {
  ASSERT_EQ(unguarded({"memfd_exec"}).exit_code, worked);
  ASSERT_EQ(attempt({"memfd_exec"}).exit_code, worked);
  std::vector<std::string> images;
  each_event([&](const Event& event) {
    if (event.kind == EventKind::process_exec) images.push_back(used_object(event));
  });
  ASSERT_FALSE(images.empty());
  EXPECT_NE(images.back().find("memfd:innocent"), std::string::npos) << images.back();
  EXPECT_EQ(images.back().find("sshd"), std::string::npos);
}

// A18
TEST_P(Evasion, AFalseNameDeceivesNobody) {
  ASSERT_EQ(unguarded({"renamed_exec"}).exit_code, worked);
  ASSERT_EQ(attempt({"renamed_exec"}).exit_code, worked);
  std::string image;
  each_event([&](const Event& event) {
    if (event.kind == EventKind::process_exec) image = used_object(event);
  });
  EXPECT_TRUE(image.ends_with("/bin/true")) << image;
  // What it called itself is in the record too.
  std::string path;
  std::string arguments;
  each_call("execve", [&](const Event& event) {
    path = captured(event, CaptureKind::path);
    arguments = captured(event, CaptureKind::argv);
  });
  EXPECT_EQ(path, "/tmp/sshd");
  EXPECT_TRUE(arguments.starts_with("/usr/sbin/sshd"));
}

// A20
TEST_P(Evasion, TheFirstInstructionIsFilteredAndRecorded) {
  ASSERT_EQ(unguarded({"first_instruction"}).said("seccomp"), 0);
  EXPECT_EQ(attempt({"first_instruction"}).said("seccomp"), 2);
  bool executed = false;
  std::string first;
  each_event([&](const Event& event) {
    if (event.kind == EventKind::process_exec) executed = true;
    if (!executed || event.kind != EventKind::syscall || !first.empty()) return;
    const std::string name = recorder::syscall_name(event.abi, event.number);
    if (name != "execve") first = name;
  });
  EXPECT_TRUE(executed);
  EXPECT_EQ(first, "brk");  // what the dynamic linker does first
}

}  // namespace
}  // namespace gyges::attacks

// Every attempt of the attack program, in sandboxes of the shipped policies, beside the same
// attempt where the defences are missing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "base/files.h"
#include "base/text.h"
#include "control.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

struct Expected {
  const char* name;
  const char* inside;  // words separated by '|'
  // What the control shows: "worked", or "other" for anything but the inside's word: an error of
  // the arguments, past the check. "-": there is no safe control, for the reason in `why`.
  const char* control;
  bool root_only = false;  // the control needs the host's root
  const char* why = "";
};

constexpr const char* refused = "EPERM";
constexpr const char* by_every_kernel = "the kernel does this for every pid 1";
constexpr const char* by_host = "whether it works unprotected depends on the host";

// A kernel without the entry for 32-bit calls answers them with SIGSEGV before any filter; taken only
// where the same attempt without defences ends so too.
bool has_no_entry(const std::string& outcome, const std::string& unprotected) {
  return outcome == "killed:SEGV" && unprotected == "killed:SEGV";
}

const Expected expectations[] = {
    {"io_uring_setup", "ENOSYS", "-", false, by_host},
    {"io_uring_enter", "ENOSYS", "other"},
    {"io_uring_register", "ENOSYS", "other"},
    {"ia32_getpid", "killed:SYS", "-", false, by_host},
    {"ia32_socketcall", "killed:SYS", "-", false, by_host},
    {"x32_getpid", "killed:SYS", "other"},
    {"listener_filter", refused, "worked"},
    {"clone_untraced", refused, "worked"},
    {"tiocsti", refused, "other"},
    {"tiocsti_high_bits", refused, "other"},
    {"tioclinux", refused, "other"},
    {"unshare_user", refused, "worked"},
    {"unshare_mount", refused, "worked"},
    {"unshare_net", refused, "worked"},
    {"unshare_pid", refused, "worked"},
    {"unshare_time", refused, "worked"},
    {"clone_user", refused, "worked"},
    {"clone_net_and_user", refused, "worked"},
    {"clone_high_bits", refused, "worked"},
    {"clone3_user", "ENOSYS", "worked"},
    {"mount_tmpfs", refused, "worked"},
    {"mount_bind", refused, "worked"},
    {"remount_writable", refused, "worked"},
    {"mount_setattr", refused, "worked"},
    {"fsopen", refused, "worked"},
    {"fspick", refused, "worked"},
    {"fsconfig", refused, "other"},
    {"fsmount", refused, "other"},
    {"open_tree", refused, "worked"},
    {"move_mount", refused, "other"},
    {"open_tree_attr", "ENOSYS|EPERM", "-", false, by_host},
    {"listmount", "ENOSYS|EPERM", "-", false, by_host},
    {"pivot_root", refused, "other"},
    {"umount_proc", refused, "other"},
    {"chroot", refused, "worked"},
    {"name_to_handle_at", refused, "other"},
    {"open_by_handle_at", refused, "other", true},
    {"setuid_root", "EPERM|EINVAL", "worked"},
    {"setgroups", refused, "worked", true},
    {"capset", refused, "worked"},
    {"ambient_capability", refused, "-", false, "the control's set is not inheritable"},
    {"mknod_character", "EPERM|EACCES", "worked", true},
    {"mknod_block", "EPERM|EACCES", "worked", true},
    {"bpf", refused, "worked", true},
    {"perf", refused, "worked", true},
    {"userfaultfd", refused, "worked", true},
    {"userfaultfd_user_mode", refused, "worked"},
    {"keyctl", refused, "worked"},
    {"add_key", refused, "worked"},
    {"request_key", refused, "other"},
    {"syslog", refused, "worked", true},
    {"clock_settime", refused, "other"},
    {"settimeofday", refused, "other"},
    {"clock_adjtime", refused, "other", true},
    {"sethostname", refused, "other"},
    {"setdomainname", refused, "other"},
    {"sched_fifo", refused, "worked", true},
    {"modify_ldt", refused, "worked"},
    {"personality_zero_page", "ENOSYS", "worked"},
    {"vmsplice", refused, "other"},
    {"kexec_load", refused, "other", true},
    {"kexec_file_load", refused, "other", true},
    {"init_module", refused, "other", true},
    {"finit_module", refused, "other", true},
    {"delete_module", refused, "other", true},
    {"reboot", refused, "other"},
    {"swapon", refused, "other", true},
    {"acct", refused, "other", true},
    {"quotactl", refused, "other"},
    {"iopl", refused, "other", true},
    {"ioperm", refused, "other", true},
    {"af_alg", "EAFNOSUPPORT", "-", false, by_host},
    {"af_vsock", "EAFNOSUPPORT", "-", false, by_host},
    {"af_netlink", "EAFNOSUPPORT", "worked"},
    {"af_packet", "EAFNOSUPPORT", "worked"},
    {"af_netlink_high_bits", "EAFNOSUPPORT", "worked"},
    {"raw_socket", refused, "worked"},
    {"signal_init", "alive", "-", false, by_every_kernel},
    {"signal_others", "nobody", "worked"},
    {"signal_parent_of_all", "ESRCH", "-", false, "there is no such process anywhere"},
    {"prlimit_init", refused, "worked"},
    {"setpriority_init", refused, "worked"},
    {"affinity_init", refused, "worked"},
    {"scheduler_init", refused, "worked"},
    {"ptrace_init", refused, "worked"},
    {"process_vm_readv_init", refused, "other"},
    {"pidfd_getfd_init", refused, "worked"},
    {"kcmp_init", refused, "worked"},
    {"move_pages_init", refused, "other"},
    {"init_root", "EACCES", "worked"},
    {"init_cwd", "EACCES", "worked"},
    {"init_fd", "EACCES|EPERM", "worked"},
    {"init_map_files", "EACCES|EPERM", "other"},
    {"init_environ", "EACCES", "worked"},
    {"init_mem", "EACCES", "worked"},
    {"init_maps", "EACCES", "worked"},
    {"init_exe", "EACCES", "worked"},
    {"init_auxv", "EACCES", "worked"},
    {"init_pagemap", "EACCES", "worked"},
    {"overwrite_init_exe", "EACCES", "other"},
    {"overwrite_init_memory", "EACCES", "worked"},
    {"leaked_descriptors", "none", "worked"},
    {"host_file_by_any_path", "absent", "worked"},
    {"working_directory", "inside", "-", false, "the control starts in its root"},
    {"setns_own", refused, "worked"},
    {"setns_pidfd", refused, "worked"},
    {"init_namespace_file", "EACCES", "worked"},
    {"environment_secret", "none", "worked"},
    {"orphans_stay", "reaped", "worked"},
    {"fanotify", refused, "worked"},
    {"inotify_init_fd", "EACCES", "worked"},
    {"set_user_id_bits", "nosuid", "worked", true},
    {"device_nodes", "nodev", "worked", true},
    {"file_capability", refused, "worked"},
    {"core_pattern", "refused", "worked", true},
    {"modprobe", "refused", "-", false, by_host},
    {"sysrq", "refused", "-", false, by_host},
    {"binfmt_misc", "refused", "-", false, by_host},
    {"uevent_helper", "refused", "-", false, by_host},
    {"release_agent", "refused", "-", false, by_host},
    {"shmmax", "refused", "worked", true},
    {"ip_forward", "refused", "worked"},
    {"max_user_namespaces", "refused", "-", false, by_host},
    {"hostname", "refused", "worked", true},
    {"overcommit", "refused", "worked", true},
    {"init_oom_score", "refused", "worked"},
    {"init_time_offsets", "refused", "worked"},
    {"ns_last_pid", "refused", "worked"},
    {"mqueue_limits", "refused", "-", false, by_host},
    {"kallsyms", "nothing", "worked"},
    {"kcore", "nothing", "-", false, by_host},
    {"keys", "nothing", "-", false, "there may be no keys"},
    {"timer_list", "nothing", "-", false, by_host},
    {"proc_kmsg", "EPERM|EACCES", "worked", true},
    {"dev_kmsg", "ENOENT", "-", false, by_host},
    {"kernel_notes", "nothing", "worked"},
    {"sys", "ENOENT", "worked"},
    {"debugfs", "ENOENT", "-", false, by_host},
    {"tracefs", "ENOENT", "-", false, by_host},
    {"devices", "none", "-", false, by_host},
    {"oom_score_adj", "EACCES", "-", false, "needs CAP_SYS_RESOURCE of the host"},
    {"above_the_root", "confined", "-", false, "no chroot is safe to leave here"},
    {"layers_of_the_overlay", "absent", "-", false, "the layers are the sandbox's own"},
    {"hard_link_to_host", "EXDEV", "-", false, "two file systems never share a link"},
    {"rename_mount_parent", "EROFS|EACCES|EBUSY", "other", true},
    {"plant_in_root", "EROFS|EACCES", "worked", true},
    {"plant_in_usr", "EROFS|EACCES", "worked", true},
    {"plant_in_etc_ssl", "EROFS|EACCES", "worked", true},
    {"plant_in_dev", "EROFS|EACCES", "worked"},
    {"reopen_host_file", "EROFS|EACCES", "worked", true},
    {"chmod_host_directory", "EROFS|EPERM", "worked", true},
    {"home_of_root", "ENOENT|EACCES", "worked", true},
};

struct Line {
  std::string item;
  std::string outcome;
};

std::map<std::string, Line> parse(const std::string& output) {
  std::map<std::string, Line> lines;
  for (const std::string& line : split(output, '\n')) {
    std::vector<std::string> words = split(line, ' ');
    if (words.size() >= 3) lines[words[1]] = Line{words[0], words[2]};
  }
  return lines;
}

bool one_of(const std::string& words, const std::string& word) {
  for (const std::string& candidate : split(words, '|'))
    if (candidate == word) return true;
  return false;
}

class Attack : public SandboxTest {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-attack");
    ASSERT_TRUE(directory);
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    marker_ = (directory_->path() / "marker").string();
    ASSERT_TRUE(write_file_atomically(marker_, "of the host\n"));
    ::setenv("GYGES_ATTACK_SECRET", "1", 1);
  }

  std::map<std::string, Line> inside(const Policy& policy) {
    SandboxSpec spec{policy, {}, nullptr};
    SeedFile program;
    program.path = "/home/user/attack";
    program.content = std::string(attack::attack_program());
    program.mode = 0755;
    spec.seed.push_back(program);
    start(spec);
    Ran ran = run_argv({"/home/user/attack", "/home/user", marker_});
    EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
    stop();
    return parse(ran.output);
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  std::string marker_;
};

TEST_F(Attack, RefusesToRunOnTheHost) {
  std::filesystem::path path = directory_->path() / "attack";
  ASSERT_TRUE(write_file_atomically(path, attack::attack_program(), 0755));
  std::string command = path.string() + " / / 2>/dev/null";
  int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

// The presets that allow less, or other programs, than the default one.
TEST_F(Attack, NoPresetLetsAnAttemptThrough) {
  auto output = attack::run_control(marker_);
  ASSERT_TRUE(output) << output.error().line();
  auto control = parse(*output);
  for (const char* preset : {"strict", "coding_agent", "observe"}) {
    auto policy = load_policy(preset);
    ASSERT_TRUE(policy) << policy.error().line();
    policy->filesystem.workspace = Filesystem::Workspace::none;
    auto found = inside(*policy);
    for (const Expected& row : expectations) {
      ASSERT_EQ(found.count(row.name), 1U) << preset << ": " << row.name << " was not tried";
      const std::string& outcome = found[row.name].outcome;
      EXPECT_TRUE(one_of(row.inside, outcome) || outcome == "EPERM" || outcome == "EAFNOSUPPORT" ||
                  has_no_entry(outcome, control[row.name].outcome))
          << preset << ": " << row.name << ": " << outcome << ", expected " << row.inside;
    }
  }
}

TEST_F(Attack, EveryAttemptIsRefusedInsideAndNotInTheControl) {
  auto found = inside(test_policy());
  auto output = attack::run_control(marker_);
  ASSERT_TRUE(output) << output.error().line();
  auto control = parse(*output);
  bool root = ::geteuid() == 0;
  int with_control = 0;
  for (const Expected& row : expectations) {
    ASSERT_EQ(found.count(row.name), 1U) << row.name << " was not tried";
    const Line& line = found[row.name];
    std::string unprotected = control.count(row.name) > 0 ? control[row.name].outcome : "not tried";
    std::printf("%-4s %-24s %-14s %-12s %s\n", line.item.c_str(), row.name, line.outcome.c_str(),
                unprotected.c_str(), row.why);
    EXPECT_TRUE(one_of(row.inside, line.outcome) || has_no_entry(line.outcome, unprotected))
        << line.item << " " << row.name << ": " << line.outcome << ", expected " << row.inside;
    if (*row.control == '-' || (row.root_only && !root)) continue;
    ++with_control;
    if (std::string(row.control) == "worked")
      EXPECT_EQ(unprotected, "worked") << line.item << " " << row.name << ", the control";
    else
      EXPECT_NE(unprotected, line.outcome) << line.item << " " << row.name << ", the control";
  }
  EXPECT_EQ(found.size(), std::size(expectations));
  std::printf("%zu attempts, %d with a positive control\n", found.size(), with_control);
}

}  // namespace
}  // namespace gyges::isolation

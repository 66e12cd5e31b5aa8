// The shipped presets: everyday commands work, and what a preset is for holds.
#include <gmock/gmock.h>
#include <unistd.h>

#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

struct Everyday {
  const char* program;  // skipped where the host has none
  const char* command;
};

// Each prints "ok" as its last word.
const Everyday everyday[] = {
    {"/usr/bin/git",
     "cd /tmp && git init -q r && cd r && git config user.email a@b && git config user.name n && "
     "echo x > f && git add f && git commit -qm m && git log --oneline > /dev/null && echo ok"},
    {"/usr/bin/gcc",
     "cd /tmp && printf '#include <stdio.h>\\nint main(void){puts(\"ok\");}' > a.c && gcc -o a a.c "
     "&& ./a"},
    {"/usr/bin/python3",
     "python3 -c 'import sqlite3,subprocess,tempfile,threading,json\n"
     "t=threading.Thread(target=lambda: None); t.start(); t.join()\n"
     "c=sqlite3.connect(\"/tmp/db\"); c.execute(\"create table t(x)\"); c.commit()\n"
     "print(subprocess.run([\"echo\",\"ok\"],capture_output=True,text=True).stdout.strip())'"},
    {"/usr/bin/make", "cd /tmp && printf 'all:\\n\\t@echo ok\\n' > Makefile && make -s -j2"},
    {"/bin/tar",
     "cd /tmp && mkdir -p t && echo x > t/f && tar czf t.tgz t && rm -r t && tar xzf t.tgz && cat "
     "t/f > /dev/null && echo ok"},
    {"/usr/bin/find",
     "find /usr/share -maxdepth 1 -type d | sort | head -n 3 | wc -l > /dev/null && "
     "echo ok"},
    {"/bin/sed", "echo k | sed 's/k/ok/'"},
    {"/usr/bin/awk", "echo 1 | awk '{print \"ok\"}'"},
    {"/usr/bin/perl", "perl -e 'print \"ok\\n\"'"},
    {"/bin/ps", "ps -e > /dev/null && echo ok"},
    {"/bin/sh",
     "cd /tmp; touch a1; ln a1 b1; ln -s a1 c1; cp -p a1 d1; mv d1 e1; chmod 600 e1; "
     "mkfifo p; ls -l > /dev/null; nice true; (sleep 0.01 & wait); rm -f a1 b1; echo ok"},
    {"/usr/bin/timeout", "timeout 5 sh -c 'echo ok'"},
    {"/usr/bin/xargs", "echo ok | xargs -n1 echo"},
    {"/usr/bin/sort", "seq 2000 | sort -R --parallel=2 | tail -n 1 > /dev/null && echo ok"},
};

class Preset : public SandboxTest {
 protected:
  void start_preset(const char* name) {
    auto policy = load_policy(name);
    ASSERT_TRUE(policy) << policy.error().line();
    policy->filesystem.workspace = Filesystem::Workspace::none;
    policy->limits.wall_seconds = 60;
    start(SandboxSpec{*policy, {}, nullptr});
  }

  void run_everyday_commands() {
    for (const Everyday& row : everyday) {
      if (::access(row.program, X_OK) != 0) continue;
      Ran ran = run(row.command);
      EXPECT_EQ(ran.end.exit_code, 0) << row.command << "\n" << ran.output;
      EXPECT_THAT(ran.output, ::testing::EndsWith("ok\n")) << row.command;
    }
  }
};

TEST_F(Preset, StrictRunsEverydayCommandsAndNothingThatTraces) {
  start_preset("strict");
  run_everyday_commands();
  if (::access("/usr/bin/python3", X_OK) != 0) return;
  // EPERM for each: a debugger, a shared memory segment, a memory file, a socket to elsewhere.
  Ran ran =
      run_argv({"/usr/bin/python3", "-c",
                "import ctypes, socket, os, errno\n"
                "c = ctypes.CDLL(None, use_errno=True)\n"
                "def e(r): return errno.errorcode[ctypes.get_errno()] if r < 0 else 'worked'\n"
                "print(e(c.ptrace(0, 0, 0, 0)), e(c.shmget(0, 4096, 0o1600)),\n"
                "      e(c.memfd_create(b'x', 0)))\n"
                "try: socket.socket(socket.AF_INET); print('worked')\n"
                "except OSError as x: print(errno.errorcode[x.errno])\n"});
  EXPECT_EQ(ran.output, "EPERM EPERM EPERM\nEAFNOSUPPORT\n");
}

TEST_F(Preset, CodingAgentRunsEverydayCommandsAndLocalServers) {
  start_preset("coding_agent");
  run_everyday_commands();
  if (::access("/usr/bin/python3", X_OK) != 0) return;
  Ran ran = run_argv({"/usr/bin/python3", "-c",
                      "import socket\n"
                      "s = socket.create_server(('127.0.0.1', 0))\n"
                      "c = socket.create_connection(s.getsockname()); print('local')\n"
                      "c = socket.socket(); c.settimeout(2)\n"
                      "try: c.connect(('192.0.2.1', 80)); print('worked')\n"
                      "except OSError: print('no network')\n"});
  EXPECT_EQ(ran.output, "local\nno network\n");
}

TEST_F(Preset, ObserveRunsEverydayCommandsAndStaysIsolated) {
  start_preset("observe");
  run_everyday_commands();
  EXPECT_NE(run("echo x > /usr/bin/x").end.exit_code, 0);
  EXPECT_EQ(run("ls /sys 2>&1; cat /proc/net/dev | grep -c :").output.find("eth"),
            std::string::npos);
}

}  // namespace
}  // namespace gyges::isolation

#include <gmock/gmock.h>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "tests/tools/tools_fixture.h"
#include "tools/mbox.h"

namespace gyges::tools {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST_F(ToolsTest, WholeOutputsAreKeptByTheirHash) {
  auto directory = TemporaryDirectory::create("gyges-output");
  ASSERT_TRUE(directory);
  OutputStore store(directory->path(), 100000);
  store_ = &store;
  output_bytes_ = 1000;
  EXPECT_FALSE(bash("head -c 1000 /dev/zero | tr '\\0' a").kept) << "it fits the window";
  ToolResult result = bash("seq 1 5000");
  ASSERT_TRUE(result.kept);
  EXPECT_TRUE(result.truncated);
  EXPECT_TRUE(result.kept->complete);
  EXPECT_EQ(result.kept->bytes, result.output_total);
  auto whole = read_file(directory->path() / result.kept->sha256);
  ASSERT_TRUE(whole);
  EXPECT_EQ(to_hex(sha256(*whole)), result.kept->sha256);
  EXPECT_THAT(*whole, HasSubstr("\n2500\n"));
  EXPECT_THAT(result.output, ::testing::Not(HasSubstr("\n2500\n")));
  result = bash("seq 1 100000");
  ASSERT_TRUE(result.kept);
  EXPECT_FALSE(result.kept->complete);
  EXPECT_EQ(result.kept->bytes, 100000U);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory->path()))
    ++files;
  EXPECT_EQ(files, 2U) << "nothing is left half written";
}

TEST_F(ToolsTest, AStoreThatIsFullKeepsNothingMore) {
  auto directory = TemporaryDirectory::create("gyges-output");
  ASSERT_TRUE(directory);
  OutputStore store(directory->path(), 100000, 3000);
  store_ = &store;
  output_bytes_ = 1000;
  EXPECT_EQ(bash("seq 1 5000").kept->bytes, 3000U);
  EXPECT_FALSE(bash("seq 1 5000").kept);
}

TEST_F(ToolsTest, PythonRunsAProgram) {
  ToolResult result = call("python", R"PY({"code":"import os\nprint(6*7)\nprint(os.getcwd())"})PY");
  if (result.error && result.error->type == "start") GTEST_SKIP() << "no python3 on this host";
  EXPECT_EQ(result.output, "42\n/home/user\n");
  EXPECT_EQ(call("python", R"PY({"code":"raise SystemExit(4)"})PY").exit_code, 4);
}

TEST_F(ToolsTest, EditFileReplacesOnePassage) {
  bash("printf 'a=1\\nb=1\\n' > f; chmod 640 f; ln -s f link");
  auto edit = [&](const std::string& from, const std::string& to, bool all = false) {
    json arguments{{"path", "~/f"}, {"old_text", from}, {"new_text", to}};
    if (all) arguments["all"] = true;
    return call("edit_file", arguments.dump());
  };
  EXPECT_EQ(edit("a=1", "a=$&\\1").output, "Replaced one passage.");
  EXPECT_EQ(bash("cat f; stat -c %a f").output, "a=$&\\1\nb=1\n640\n");
  ToolResult twice = edit("=", ":");
  EXPECT_THAT(twice.output, HasSubstr("2 times"));
  EXPECT_EQ(bash("grep -c = f").output, "2\n") << "a refused edit changes nothing";
  EXPECT_EQ(edit("=", ":", true).output, "Replaced 2 passages.");
  EXPECT_THAT(edit("nowhere", "x").output, HasSubstr("does not stand"));
  EXPECT_THAT(call("edit_file", R"({"path":"none","old_text":"a","new_text":"b"})").output,
              HasSubstr("No such file"));
  EXPECT_TRUE(
      call("edit_file", R"({"path":"/etc/hostname","old_text":"a","new_text":"b"})").failed());
}

TEST_F(ToolsTest, FilesAreThoseOfTheSandboxWhateverThePath) {
  // The link leads to a place of the sandbox, by a process of the sandbox.
  bash("ln -s /proc/1/root/etc/hostname out; ln -s /etc/shadow shadow");
  ToolResult result = call("read_file", R"({"path":"../../../../../../proc/self/status"})");
  EXPECT_THAT(result.output, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_TRUE(call("read_file", R"({"path":"shadow"})").failed());
}

TEST_F(ToolsTest, SearchFindsLines) {
  bash(
      "mkdir -p d/e; printf 'one\\nTwo two\\n' > d/a.txt; echo 'two' > d/e/b.conf; "
      "printf 'two\\0' > d/binary");
  // In the order in which the directory gives them.
  EXPECT_THAT(split(call("search", R"({"pattern":"tw+o","path":"d"})").output, '\n'),
              ::testing::UnorderedElementsAre("d/a.txt:2:Two two", "d/e/b.conf:1:two", ""));
  EXPECT_EQ(
      call("search", R"({"pattern":"TWO","path":"d","files":"*.conf","ignore_case":true})").output,
      "d/e/b.conf:1:two\n");
  ToolResult none = call("search", R"({"pattern":"three","path":"d"})");
  EXPECT_EQ(none.output, "No line matches.");
  EXPECT_FALSE(none.failed());
  EXPECT_TRUE(call("search", R"({"pattern":"(","path":"d"})").failed());
  EXPECT_TRUE(call("search", R"({"pattern":"-e","path":"missing"})").failed());
}

TEST_F(ToolsTest, HttpRequestGoesOutFromInsideTheSandbox) {
  // No network in this policy: curl itself says so, and nothing of the host is reached.
  ToolResult result = call("http_request", R"({"url":"http://127.0.0.1:9/","timeout_seconds":5})");
  if (result.error && result.error->type == "start") GTEST_SKIP() << "no curl on this host";
  EXPECT_EQ(result.exit_code, 7) << result.output;
  EXPECT_EQ(call("http_request", R"({"url":"file:///etc/passwd"})").error->type, "arguments");
  EXPECT_EQ(call("http_request", R"({"url":"http://127.0.0.1:9/","headers":{"A":"b\r\nC: d"}})")
                .error->type,
            "arguments");
  EXPECT_EQ(call("http_request", R"({"url":"http://127.0.0.1:9/","headers":{"@/etc/passwd":""}})")
                .error->type,
            "arguments");
}

TEST_F(ToolsTest, HttpRequestSpeaksToAServerInside) {
  ToolResult has = bash("command -v python3 && command -v curl");
  if (has.failed()) GTEST_SKIP() << "python3 and curl are needed inside";
  // One server inside that answers once; its port is whatever the kernel gave it.
  call(
      "write_file",
      R"PY({"path":"server.py","content":"import socket\ns=socket.socket()\ns.bind(('127.0.0.1',0))\ns.listen()\nopen('port','w').write(str(s.getsockname()[1]))\nc,_=s.accept()\nd=b''\nwhile b'hello' not in d: d+=c.recv(4096)\nopen('got','wb').write(d)\nc.sendall(b'HTTP/1.1 201 Created\\r\\nContent-Length: 3\\r\\n\\r\\nyes')\nc.close()\n"})PY");
  timeout_ = std::chrono::seconds(60);
  ToolResult listening = bash(
      "python3 server.py >/dev/null 2>&1 & "
      "for i in $(seq 600); do test -s port && exit 0; sleep 0.05; done; exit 1");
  ASSERT_FALSE(listening.failed()) << "the loopback of the sandbox is up";
  std::string port = bash("cat port").output;
  ToolResult result = call("http_request", json{{"url", "http://127.0.0.1:" + port + "/a?b={c}"},
                                                {"method", "PUT"},
                                                {"headers", {{"X-One", "1"}}},
                                                {"body", "hello"}}
                                               .dump());
  EXPECT_THAT(result.output, StartsWith("HTTP/1.1 201"));
  EXPECT_THAT(result.output, HasSubstr("yes"));
  std::string got = bash("cat got").output;
  EXPECT_THAT(got, StartsWith("PUT /a?b={c} HTTP/1.1"));
  EXPECT_THAT(got, HasSubstr("X-One: 1"));
}

TEST_F(ToolsTest, MailIsListedReadAndSent) {
  state_.mail = {"/tmp/box", "/home/user/mail/sent", "bot@example.org", ""};
  EXPECT_TRUE(call("mail", R"({"action":"list"})").failed());
  bash(
      "printf 'From a@b Mon Jan  1 00:00:00 2024\\nFrom: A <a@b>\\nSubject: One\\nDate: "
      "today\\n\\n"
      "text\\n>From here\\n\\nFrom c@d Mon Jan  1 00:00:00 2024\\nSubject: Two\\n\\nmore\\n' "
      "> /tmp/box");
  EXPECT_EQ(call("mail", R"({"action":"list"})").output, "1  today  A <a@b>  One\n2      Two\n");
  EXPECT_THAT(call("mail", R"({"action":"read","number":1})").output,
              HasSubstr("\ntext\nFrom here\n"));
  EXPECT_THAT(call("mail", R"({"action":"read","number":3})").output, HasSubstr("2 messages"));
  EXPECT_EQ(
      call("mail",
           R"({"action":"send","to":["x@y.example"],"subject":"Hi","text":"From me\nto you"})")
          .output,
      "Sent to x@y.example.");
  std::string sent = bash("cat mail/sent").output;
  EXPECT_THAT(sent, HasSubstr("From: bot@example.org\nTo: x@y.example\nSubject: Hi\n"));
  EXPECT_THAT(sent, HasSubstr("\n>From me\nto you\n"));
  EXPECT_TRUE(call("mail", R"({"action":"send","to":["x"],"text":"a"})").failed());
  EXPECT_TRUE(call("mail", R"({"action":"send","to":["x@y"],"subject":"a\nBcc: z@z","text":"a"})")
                  .failed());
}

TEST(Mbox, WhateverTheBytesAre) {
  EXPECT_THAT(messages_of(""), SizeIs(0));
  EXPECT_THAT(messages_of("no mailbox"), SizeIs(0));
  EXPECT_THAT(messages_of("From "), SizeIs(1));
  EXPECT_THAT(messages_of("From a\n\nFrom b\n\nFrom c\n", 2), SizeIs(2));
  EXPECT_THAT(messages_of("From a\n: x\nFrom\n\n"), SizeIs(1));
}

class OneAnswer final : public Colleague {
 public:
  Result<std::optional<std::string>> ask(const Question& question) override {
    asked = question.text;
    return answer;
  }
  Status notify(std::string_view message) override {
    told = message;
    return ok();
  }
  std::optional<std::string> answer;
  std::string asked;
  std::string told;
};

TEST_F(ToolsTest, AskHumanAndNotify) {
  EXPECT_THAT(call("ask_human", R"({"question":"may I?"})").output, HasSubstr("Nobody"));
  OneAnswer colleague;
  state_.colleague = &colleague;
  EXPECT_THAT(call("ask_human", R"({"question":"may I?"})").output, HasSubstr("Nobody"));
  colleague.answer = "No.";
  EXPECT_EQ(call("ask_human", R"({"question":"may I?"})").output, "No.");
  EXPECT_EQ(colleague.asked, "may I?");
  call("notify", R"({"message":"done"})");
  EXPECT_EQ(colleague.told, "done");
}

TEST_F(ToolsTest, ThinkAndTodo) {
  EXPECT_EQ(call("think", R"({"thought":"hm"})").output, "Noted.");
  EXPECT_EQ(call("todo", "{}").output, "The list is empty.");
  call("todo", R"({"items":[{"text":"a","status":"done"},{"text":"b","status":"open"}]})");
  EXPECT_EQ(call("todo", "{}").output, "[done] a\n[open] b\n");
  EXPECT_TRUE(call("todo", R"({"items":[{"text":"a","status":"late"}]})").failed());
}

}  // namespace
}  // namespace gyges::tools

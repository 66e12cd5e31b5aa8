// What sendmsg and recvmsg carry beside their bytes: descriptors, credentials.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "capture_fixture.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/resolved_paths.h"

namespace gyges::recorder {
namespace {

class ControlMessages : public CaptureTest {};
INSTANTIATE_TEST_SUITE_P(Backends, ControlMessages, both_backends, backend_of_test);

// A message of one byte with `control`, or room for as much.
struct Letter {
  char byte = 'x';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(3 * sizeof(int)) + CMSG_SPACE(sizeof(ucred))] = {};
  msghdr message{nullptr, 0, &part, 1, control, sizeof(control), 0};
};

TEST_P(ControlMessages, DescriptorsAndCredentials) {
  const Recording result = run([] {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return 1;
    const int on = 1;
    setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
    Letter out;
    out.message.msg_controllen = CMSG_SPACE(3 * sizeof(int));
    cmsghdr* const head = CMSG_FIRSTHDR(&out.message);
    *head = {CMSG_LEN(3 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    const int sent[3] = {ends[0], ends[1], ends[0]};
    std::memcpy(CMSG_DATA(head), sent, sizeof(sent));
    if (sendmsg(ends[0], &out.message, 0) != 1) return 2;
    Letter in;
    if (recvmsg(ends[1], &in.message, 0) != 1) return 3;
    Letter plain;  // without any, and with an address of which nothing is used
    plain.message.msg_controllen = 0;
    return sendmsg(ends[0], &plain.message, 0) == 1 ? 0 : 4;
  });
  ASSERT_EQ(result.status, 0);
  const auto sends = result.calls("sendmsg");
  ASSERT_EQ(sends.size(), 2U);
  const std::string fd = std::to_string(static_cast<int>(sends[0]->event.args[0]));
  const std::string other = std::to_string(static_cast<int>(sends[0]->event.args[0]) + 1);
  EXPECT_EQ(text_of(*sends[0]),
            "sendmsg(" + fd +
                ", {msg_iov=[\"x\"], msg_control=[{cmsg_len=28, cmsg_level=SOL_SOCKET, "
                "cmsg_type=SCM_RIGHTS, cmsg_data=[" +
                fd + ", " + other + ", " + fd + "]}]}, 0) = 1");
  EXPECT_EQ(text_of(*sends[1]), "sendmsg(" + fd + ", {msg_iov=[\"x\"]}, 0) = 1");
  const auto receives = result.calls("recvmsg");
  ASSERT_EQ(receives.size(), 1U);
  const std::string text = text_of(*receives[0]);
  EXPECT_NE(text.find("cmsg_type=SCM_CREDENTIALS, cmsg_data={pid=" + std::to_string(result.pid) +
                      ", uid=" + std::to_string(geteuid()) + ", gid="),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("cmsg_type=SCM_RIGHTS, cmsg_data=["), std::string::npos) << text;
}

// Whoever gets a descriptor uses a file that it never opened: the kernel says which.
TEST_P(ControlMessages, ReceivedFilesHaveTheirNames) {
  const Recording result = run([] {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return 1;
    const pid_t child = fork();
    if (child == 0) {
      const int sent[3] = {open("/etc/passwd", O_RDONLY), ends[0], open("/usr", O_RDONLY)};
      Letter out;
      out.message.msg_controllen = CMSG_SPACE(sizeof(sent));
      cmsghdr* const head = CMSG_FIRSTHDR(&out.message);
      *head = {CMSG_LEN(sizeof(sent)), SOL_SOCKET, SCM_RIGHTS};
      std::memcpy(CMSG_DATA(head), sent, sizeof(sent));
      _exit(sendmsg(ends[0], &out.message, 0) == 1 ? 0 : 1);
    }
    Letter in;
    if (recvmsg(ends[1], &in.message, 0) != 1) return 2;
    int received[3];
    std::memcpy(received, CMSG_DATA(CMSG_FIRSTHDR(&in.message)), sizeof(received));
    char byte = 0;
    if (read(received[0], &byte, 1) != 1 || fchdir(received[2]) != 0) return 3;
    if (dup(received[0]) < 0 || close(received[0]) != 0) return 4;
    return access("share", F_OK) == 0 ? 0 : 5;
  });
  ASSERT_EQ(result.status, 0);
  PathResolver names;
  std::vector<std::string> lines;
  std::vector<std::string> touched;
  for (const KeptEvent& kept : result.events) {
    std::vector<Capture> captures;
    for (const KeptCapture& c : kept.captures)
      captures.push_back({c.argument, c.kind, c.provenance, c.truncated, c.full_length, c.bytes});
    Event event = kept.event;
    event.captures = captures;
    const auto paths = names.paths_of(event);
    const std::string text = format_event(event, &names);
    const bool uses = text.starts_with("read(") || text.starts_with("dup(");
    if (text.starts_with("recvmsg") || (!lines.empty() && uses))
      lines.push_back(text);
    if (text.starts_with("recvmsg"))
      for (const ResolvedPath& path : paths)
        if (path.provenance == Provenance::kernel) touched.push_back(path.path);
  }
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_NE(lines[0].find("</etc/passwd>, "), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("</usr>]"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("</etc/passwd>, \""), std::string::npos) << lines[1];
  EXPECT_NE(lines[2].find("</etc/passwd>) = "), std::string::npos) << lines[2];
  EXPECT_EQ(touched, (std::vector<std::string>{"/etc/passwd", "/usr"}));
}

// As many as one message may carry.
TEST_P(ControlMessages, ManyReceivedFiles) {
  constexpr std::size_t most = 253;
  const Recording result = run([] {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return 1;
    std::vector<int> sent(most, open("/etc/passwd", O_RDONLY));
    std::vector<char> control(CMSG_SPACE(most * sizeof(int)));
    char byte = 'x';
    iovec part{&byte, 1};
    msghdr message{nullptr, 0, &part, 1, control.data(), control.size(), 0};
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    *head = {CMSG_LEN(most * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    std::memcpy(CMSG_DATA(head), sent.data(), most * sizeof(int));
    if (sendmsg(ends[0], &message, 0) != 1) return 2;
    return recvmsg(ends[1], &message, 0) == 1 ? 0 : 3;
  });
  ASSERT_EQ(result.status, 0);
  ASSERT_EQ(result.calls("recvmsg").size(), 1U);
  std::size_t named = 0;
  for (const KeptCapture& capture : result.calls("recvmsg")[0]->captures)
    named += capture.kind == CaptureKind::file_identity &&
                     capture.bytes.substr(sizeof(FileIdentity)) == "/etc/passwd"
                 ? 1
                 : 0;
  EXPECT_EQ(named, most);
}

TEST_P(ControlMessages, EachMessageOfAnArray) {
  const Recording result = run([] {
    const int from = socket(AF_INET, SOCK_DGRAM, 0);
    const int to = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(to, reinterpret_cast<sockaddr*>(&address), size) != 0) return 1;
    getsockname(to, reinterpret_cast<sockaddr*>(&address), &size);
    sockaddr_in second = address;
    second.sin_addr.s_addr = htonl(0x7f000009);  // 127.0.0.9
    second.sin_port = htons(9);
    std::string texts[2] = {"first", "hidden"};
    iovec parts[2] = {{texts[0].data(), 5}, {texts[1].data(), 6}};
    mmsghdr messages[20] = {};
    messages[0].msg_hdr = {&address, sizeof(address), &parts[0], 1, nullptr, 0, 0};
    messages[1].msg_hdr = {&second, sizeof(second), &parts[1], 1, nullptr, 0, 0};
    if (sendmmsg(from, messages, 2, 0) != 2) return 2;
    for (mmsghdr& message : messages) message.msg_hdr = messages[0].msg_hdr;
    if (sendmmsg(from, messages, 20, 0) != 20) return 3;
    char bytes[2][8];
    for (int i = 0; i < 2; ++i) {
      parts[i] = {bytes[i], 8};
      messages[i].msg_hdr = {nullptr, 0, &parts[i], 1, nullptr, 0, 0};
    }
    return recvmmsg(to, messages, 2, 0, nullptr) == 2 ? 0 : 4;
  });
  ASSERT_EQ(result.status, 0);
  const auto sends = result.calls("sendmmsg");
  ASSERT_EQ(sends.size(), 2U);
  const std::string text = text_of(*sends[0]);
  EXPECT_NE(text.find("msg_iov=[\"first\"]}, {msg_name={sa_family=AF_INET, sin_port=htons(9), "
                      "sin_addr=inet_addr(\"127.0.0.9\")}, msg_iov=[\"hidden\"]}], 2"),
            std::string::npos)
      << text;
  EXPECT_NE(text_of(*sends[1]).find("}, ...], 20"), std::string::npos) << text_of(*sends[1]);
  const std::string received = text_of(*result.calls("recvmmsg").at(0));
  EXPECT_NE(received.find("[{msg_iov=[\"first\"]}, {msg_iov=[\"first\"]}], 2"), std::string::npos)
      << received;
}

// What says how long it is, is the program's: nothing beyond the limit, and nothing unreadable, is
// taken for control messages.
TEST_P(ControlMessages, LengthsThatLie) {
  const Recording result = run([] {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return 1;
    Letter long_one;
    long_one.message.msg_controllen = 1UL << 40U;
    sendmsg(ends[0], &long_one.message, 0);
    Letter nowhere;
    nowhere.message.msg_control = reinterpret_cast<void*>(16);
    sendmsg(ends[0], &nowhere.message, 0);
    Letter wrong;
    *reinterpret_cast<cmsghdr*>(wrong.control) = {1UL << 33U, SOL_SOCKET, SCM_RIGHTS};
    sendmsg(ends[0], &wrong.message, 0);
    return 0;
  });
  ASSERT_EQ(result.status, 0);
  const auto sends = result.calls("sendmsg");
  ASSERT_EQ(sends.size(), 3U);
  for (const KeptEvent* call : sends) {
    EXPECT_LT(call->event.result, 0);
    EXPECT_EQ(text_of(*call).find("SCM_RIGHTS"), std::string::npos) << text_of(*call);
    EXPECT_NE(text_of(*call).find("msg_iov=[\"x\"]"), std::string::npos) << text_of(*call);
  }
}

}  // namespace
}  // namespace gyges::recorder

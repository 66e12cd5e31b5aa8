// What sendmsg and recvmsg carry beside their bytes: descriptors, credentials.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "capture_fixture.h"

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

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sandbox/network/services/mail_service.h"
#include "sandbox/network/services/plain_services.h"
#include "tests/sandbox/network/scripted_ports.h"

namespace gyges::network {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SmtpTest : public ::testing::Test {
 protected:
  std::string say(const std::string& text) {
    smtp->received(text);
    return port.take();
  }
  CanarySet canaries = CanarySet::compile({{"key", "s3cr3tTokenValue42"}}).value();
  PortService service{ServiceKind::smtp, {}, 25, "", {"*@example.org", "root@mx.example"}};
  testing::ScriptedPort port;
  std::unique_ptr<StreamService> smtp = make_smtp(service, "mx.example.org", canaries, 1000, port);
};

TEST_F(SmtpTest, TakesAMessage) {
  EXPECT_EQ(port.take(), "220 mx.example.org ESMTP Postfix\r\n");
  EXPECT_THAT(say("EHLO me\r\n"), EndsWith("250 SMTPUTF8\r\n"));
  EXPECT_THAT(say("RCPT TO:<a@example.org>\r\n"), StartsWith("503"));
  EXPECT_THAT(say("MAIL FROM:<me@host> SIZE=10\r\nRCPT TO:<a@Example.org>\r\n"),
              EndsWith("250 2.1.5 Ok\r\n"));
  EXPECT_THAT(say("RCPT TO:<b@other.example>\r\n"), StartsWith("550"));
  EXPECT_THAT(say("DATA\r\n"), StartsWith("354"));
  EXPECT_EQ(say("Subject: x\r\n\r\n..dot\r\ns3cr3tTo"), "");
  EXPECT_THAT(say("kenValue42\r\n.\r\n"), StartsWith("250 2.0.0 Ok: queued as "));
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_EQ(port.flows[0].sent.head,
            "Return-Path: <me@host>\r\nDelivered-To: a@Example.org\r\nSubject: x\r\n\r\n.dot\r\n"
            "s3cr3tTokenValue42\r\n");
  ASSERT_EQ(port.flows[0].canaries.size(), 1U);
  EXPECT_EQ(port.flows[0].canaries[0].place, "mail");
  EXPECT_THAT(say("QUIT\r\n"), StartsWith("221"));
  EXPECT_TRUE(port.closed);
}

TEST_F(SmtpTest, WhatComesBehindQuitIsHandedOver) {
  say("NOOP\r\nQUIT\r\ns3cr3tTo");
  EXPECT_TRUE(port.closed);
  EXPECT_EQ(port.unread, "s3cr3tTo");
  EXPECT_EQ(smtp->meaning("kenValue42"), "kenValue42");
}

TEST_F(SmtpTest, ABareLineFeedEndsNothing) {
  port.take();
  say("HELO me\r\nMAIL FROM:<>\r\nRCPT TO:<root@mx.example>\r\nDATA\r\n");
  EXPECT_EQ(say("x\n.\nMAIL FROM:<evil@x>\r\nx\r\n.\n"), "");
  EXPECT_THAT(say("y\r\n.\r\n"), StartsWith("250"));
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_THAT(port.flows[0].sent.head, HasSubstr("MAIL FROM:<evil@x>"));
  EXPECT_THAT(say("NOOP\n"), StartsWith("500"));
  EXPECT_TRUE(port.closed);
}

TEST_F(SmtpTest, LongLinesAndManyErrorsAreBounded) {
  port.take();
  for (int i = 0; i < 30 && !port.closed; ++i) say("WHAT\r\n");
  EXPECT_TRUE(port.closed);
  testing::ScriptedPort other;
  auto second = make_smtp(service, "mx", canaries, 1000, other);
  for (int i = 0; i < 100; ++i) second->received(std::string(1000, 'a'));
  EXPECT_TRUE(other.closed);
}

TEST(Banner, GreetsAndTakesEverything) {
  testing::ScriptedPort port;
  auto canaries = CanarySet::compile({{"key", "s3cr3tTokenValue42"}}).value();
  PortService service{ServiceKind::banner, {}, 22, "SSH-2.0-OpenSSH_9.2p1\r\n", {}};
  auto banner = make_banner(service, canaries, 10, port);
  EXPECT_EQ(port.take(), "SSH-2.0-OpenSSH_9.2p1\r\n");
  banner->received("SSH-2.0-x\r\ns3cr3tToken");
  banner->received("Value42");
  banner->ended();
  EXPECT_EQ(port.sent, "");
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_EQ(port.flows[0].sent.size, 29U);
  EXPECT_EQ(port.flows[0].sent.head.size(), 10U);
  EXPECT_EQ(port.flows[0].canaries.size(), 1U);
}

TEST(Ntp, AnswersClientsOnly) {
  auto canaries = CanarySet::compile({{"key", "s3cr3tTokenValue42"}}).value();
  NtpService ntp(canaries);
  testing::ScriptedDatagramPort port;
  std::string question(48, '\0');
  question[0] = 0x23;
  question[40] = 'x';
  ntp.received({}, question, port);
  ASSERT_EQ(port.replies.size(), 1U);
  EXPECT_EQ(port.replies[0].size(), 48U);
  EXPECT_EQ(port.replies[0][0], 0x24);
  EXPECT_EQ(port.replies[0][24], 'x');
  question[0] = 0x27;  // mode 7: the monitor list
  ntp.received({}, question, port);
  ntp.received({}, "short", port);
  EXPECT_EQ(port.replies.size(), 1U);
  EXPECT_EQ(port.flows.size(), 3U);
  question[0] = 0x23;
  EXPECT_TRUE(port.flows[0].canaries.empty());
  ntp.received({}, question + "s3cr3tTokenValue42", port);
  EXPECT_EQ(port.flows[3].canaries.size(), 1U);
}

}  // namespace
}  // namespace gyges::network

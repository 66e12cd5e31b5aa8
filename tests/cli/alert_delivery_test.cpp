#include "cli/alert_delivery.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "base/json.h"

namespace gyges::cli {
namespace {

using analysis::Alert;
using testing::HasSubstr;

Alert sample_alert(const std::string& id) {
  Alert alert;
  alert.id = id;
  alert.kind = "act";
  alert.outcome = "covert_act";
  alert.title = "a run did what is watched for";
  alert.message = "covert_act in run r1";
  alert.time_ns = 1'764'000'000'000'000'000;
  alert.run_id = "r1";
  alert.agent = "deployed";
  alert.model = "openai_chat m";
  alert.evidence.push_back({"trace", 7, 1000, 42, 3, "unlinkat(\"/srv/x\33[2J\") = 0"});
  return alert;
}

// Answers every request with `status` and keeps what was asked.
class SmallServer {
 public:
  explicit SmallServer(int status) : status_(status) {
    listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    listen(listener_.get(), 8);
    thread_ = std::thread([this] { serve(); });
  }
  ~SmallServer() {
    stopped_ = true;
    thread_.join();
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<std::string> requests() {
    std::scoped_lock lock(mutex_);
    return requests_;
  }
  void answer_with(int status) { status_ = status; }

 private:
  void serve() {
    while (!stopped_) {
      pollfd polled{listener_.get(), POLLIN, 0};
      if (poll(&polled, 1, 50) <= 0) continue;
      UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::string request;
      char bytes[4096];
      while (true) {
        std::size_t head = request.find("\r\n\r\n");
        std::size_t length = request.find("Content-Length: ");
        if (head != std::string::npos && length != std::string::npos &&
            request.size() >= head + 4 + std::stoul(request.substr(length + 16)))
          break;
        ssize_t got = read(connection.get(), bytes, sizeof bytes);
        if (got <= 0) break;
        request.append(bytes, static_cast<std::size_t>(got));
      }
      {
        std::scoped_lock lock(mutex_);
        requests_.push_back(request);
      }
      std::string answer = "HTTP/1.1 " + std::to_string(status_) +
                           " x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
      static_cast<void>(write_all(connection.get(), answer).has_value());
    }
  }

  std::atomic<int> status_;
  std::atomic<bool> stopped_{false};
  UniqueFd listener_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

std::vector<nlohmann::json> lines_of_file(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(AlertFiles, HaveEachAlertOnceWhateverHappenedBefore) {
  auto directory = TemporaryDirectory::create("alerts");
  ASSERT_TRUE(directory);
  const std::filesystem::path file = directory->path() / "alerts.jsonl";
  for (AlertForm form : {AlertForm::own, AlertForm::ocsf, AlertForm::ecs}) {
    std::filesystem::remove(file);
    ASSERT_TRUE(alert_file(file.string(), form)->deliver(sample_alert("one")));
    // Killed while it wrote the second: half a line, and nothing remembered of the first.
    std::ofstream(file, std::ios::app) << R"({"id":"two","ki)";
    auto receiver = alert_file(file.string(), form);
    ASSERT_TRUE(receiver->deliver(sample_alert("one")));
    ASSERT_TRUE(receiver->deliver(sample_alert("two")));
    EXPECT_EQ(lines_of_file(file).size(), 2U);
  }
  EXPECT_FALSE(alert_file("/nowhere/at/all", AlertForm::own)->deliver(sample_alert("x")));
}

TEST(AlertWebhooks, CarryTheAlertAndAnIdThatTellsARepeat) {
  SmallServer server(200);
  auto receiver = alert_webhook(server.url() + "/in", AlertForm::ocsf, {"Authorization: Bearer t"});
  Status done = receiver->deliver(sample_alert("id1"));
  ASSERT_TRUE(done) << done.error().line();
  ASSERT_EQ(server.requests().size(), 1U);
  const std::string request = server.requests()[0];
  EXPECT_THAT(request, HasSubstr("POST /in "));
  EXPECT_THAT(request, HasSubstr("Idempotency-Key: id1"));
  EXPECT_THAT(request, HasSubstr("Authorization: Bearer t"));
  nlohmann::json body = nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
  EXPECT_EQ(body["class_uid"], 2004);
  EXPECT_EQ(body["evidences"][0]["process"]["pid"], 42);
  server.answer_with(503);
  EXPECT_FALSE(receiver->deliver(sample_alert("id2")));
}

TEST(AlertWebhooks, ThatAreNotThereAreAnError) {
  std::string url;
  {
    SmallServer server(200);
    url = server.url();
  }
  EXPECT_FALSE(alert_webhook(url, AlertForm::own, {})->deliver(sample_alert("x")));
}

TEST(AlertSpans, GoToTheCollectorsTracesPath) {
  SmallServer server(200);
  ASSERT_TRUE(alert_otlp(server.url() + "/", {})->deliver(sample_alert("id1")));
  const std::string request = server.requests().at(0);
  EXPECT_THAT(request, HasSubstr("POST /v1/traces "));
  nlohmann::json body = nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
  const nlohmann::json& span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
  EXPECT_EQ(span["name"], "invoke_agent deployed");
  EXPECT_EQ(span["events"][0]["name"], "gyges.alert");
}

TEST(AlertSyslog, IsOneLineWithoutControlCharacters) {
  auto directory = TemporaryDirectory::create("log");
  ASSERT_TRUE(directory);
  const std::string path = (directory->path() / "socket").string();
  UniqueFd log(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(log.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_TRUE(alert_syslog(path)->deliver(sample_alert("id1")));
  char bytes[8192];
  ssize_t got = recv(log.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  ASSERT_GT(got, 0);
  std::string line(bytes, static_cast<std::size_t>(got));
  EXPECT_EQ(line.rfind("<84>1 2025-", 0), 0U) << line;
  EXPECT_THAT(line, HasSubstr("id1"));
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_FALSE(alert_syslog(path + "x")->deliver(sample_alert("id2")));
}

}  // namespace
}  // namespace gyges::cli

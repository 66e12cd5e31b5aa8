#include "cli/view_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/fd.h"

namespace gyges::cli {
namespace {

using namespace std::chrono_literals;

// A server of its own thread; ends with the object.
class RunningServer {
 public:
  explicit RunningServer(std::function<ViewAnswer(std::string_view)> answer) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe");
    stop_ = UniqueFd(ends[0]);
    stopper_ = UniqueFd(ends[1]);
    options_.stop = stop_.get();
    options_.page = "<!doctype html>";
    options_.answer = std::move(answer);
    std::promise<std::uint16_t> port;
    options_.listening = [&](std::uint16_t given) { port.set_value(given); };
    thread_ = std::thread([this] { ended_ = serve_view(options_); });
    port_ = port.get_future().get();
  }
  ~RunningServer() {
    stopper_.reset();
    thread_.join();
    EXPECT_TRUE(ended_) << ended_.error().line();
  }

  [[nodiscard]] bool connect_to(const UniqueFd& socket) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    return connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }

  void send_request(const UniqueFd& socket, const std::string& path) const {
    std::string text = "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port_) +
                       "\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(write(socket.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  // Processor time of the thread that accepts.
  double processor_seconds() {
    clockid_t clock{};
    timespec time{};
    pthread_getcpuclockid(thread_.native_handle(), &clock);
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  }

 private:
  UniqueFd stop_;
  UniqueFd stopper_;
  ViewServerOptions options_;
  std::uint16_t port_ = 0;
  Status ended_;
  std::thread thread_;
};

UniqueFd new_socket() {
  return UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// All that comes until the other side closes.
std::string answer_on(const UniqueFd& socket) {
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(socket.get(), buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  return text;
}

TEST(ViewServer, ASlowAnswerHoldsNobodyUp) {
  std::promise<void> begun;
  std::promise<void> go_on;
  std::shared_future<void> gone_on = go_on.get_future().share();
  RunningServer server([&](std::string_view target) -> ViewAnswer {
    if (target == "/api/slow") {
      begun.set_value();
      gone_on.wait();
    }
    return {200, "answer to " + std::string(target), "text/plain", false};
  });
  UniqueFd slow = new_socket();
  ASSERT_TRUE(server.connect_to(slow));
  server.send_request(slow, "/api/slow");
  begun.get_future().wait();
  for (const char* path : {"/api/quick", "/"}) {
    UniqueFd quick = new_socket();
    ASSERT_TRUE(server.connect_to(quick));
    server.send_request(quick, path);
    EXPECT_NE(answer_on(quick).find("200 OK"), std::string::npos) << path;
  }
  go_on.set_value();
  EXPECT_NE(answer_on(slow).find("answer to /api/slow"), std::string::npos);
}

TEST(ViewServer, AnAnswerThatThrowsIsAnErrorOfThatRequestAlone) {
  RunningServer server([](std::string_view target) -> ViewAnswer {
    if (target == "/api/bad") throw std::runtime_error("out of everything");
    return {200, "good", "text/plain", false};
  });
  for (const auto& [path, expected] :
       {std::pair{"/api/bad", "out of everything"}, std::pair{"/api/good", "200 OK"}}) {
    UniqueFd socket = new_socket();
    ASSERT_TRUE(server.connect_to(socket));
    server.send_request(socket, path);
    EXPECT_NE(answer_on(socket).find(expected), std::string::npos) << path;
  }
}

// The client's socket is made before: it is of the same process.
TEST(ViewServer, WaitsQuietlyWhileThereAreNoDescriptors) {
  RunningServer server([](std::string_view) -> ViewAnswer {
    return {200, "x", "text/plain", false};
  });
  UniqueFd client = new_socket();
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  UniqueFd lowest_free(dup(client.get()));
  rlimit none{static_cast<rlim_t>(lowest_free.get()) + 1, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  bool full = dup(client.get()) == -1 && errno == EMFILE;
  bool connected = server.connect_to(client);  // the kernel's queue takes it
  server.send_request(client, "/");
  double used = server.processor_seconds();
  pollfd answered{client.get(), POLLIN, 0};
  int early = poll(&answered, 1, 1000);
  used = server.processor_seconds() - used;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(full && connected);
  EXPECT_EQ(early, 0) << "it was accepted without a descriptor";
  EXPECT_LT(used, 0.05) << "it spins";
  EXPECT_NE(answer_on(client).find("200 OK"), std::string::npos);
}

}  // namespace
}  // namespace gyges::cli

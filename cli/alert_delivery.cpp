#include "cli/alert_delivery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <set>

#include "agent_runtime/model/http_client.h"
#include "analysis/watch/spans.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::cli {
namespace {

using analysis::Alert;

std::string form_text(const Alert& alert, AlertForm form) {
  nlohmann::json value = form == AlertForm::ocsf  ? analysis::ocsf_of(alert)
                         : form == AlertForm::ecs ? analysis::ecs_of(alert)
                                                  : analysis::alert_json(alert);
  // Only ASCII: what a run printed cannot drive a terminal that the file is shown on.
  return value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

class AlertFile final : public AlertReceiver {
 public:
  AlertFile(std::string path, AlertForm form) : path_(std::move(path)), form_(form) {}

  [[nodiscard]] std::string name() const override { return "file " + path_; }

  Status deliver(const Alert& alert) override {
    if (!fd_) GYGES_CHECK(open_file());
    if (written_.contains(alert.id)) return ok();
    GYGES_CHECK(write_all(fd_.get(), form_text(alert, form_) + "\n"));
    if (fdatasync(fd_.get()) != 0) return fail_errno("sync", path_);
    written_.insert(alert.id);
    return ok();
  }

 private:
  Status open_file() {
    UniqueFd fd(open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!fd) return fail_errno("open", path_);
    GYGES_TRY(std::string text, read_file(path_, std::size_t{1} << 30U));
    std::size_t whole = text.rfind('\n');
    whole = whole == std::string::npos ? 0 : whole + 1;
    if (whole != text.size() && ftruncate(fd.get(), static_cast<off_t>(whole)) != 0)
      return fail_errno("shorten", path_);
    for (const std::string& line : split(text.substr(0, whole), '\n')) {
      nlohmann::json value = nlohmann::json::parse(line, nullptr, false);
      if (!value.is_object()) continue;
      // Where each form has the id.
      for (const char* place : {"/id", "/metadata/uid", "/event/id"}) {
        nlohmann::json::json_pointer pointer(place);
        if (value.contains(pointer) && value.at(pointer).is_string())
          written_.insert(value.at(pointer).get<std::string>());
      }
    }
    fd_ = std::move(fd);
    return ok();
  }

  std::string path_;
  AlertForm form_;
  UniqueFd fd_;
  std::set<std::string> written_;
};

Status post_json(const std::string& url, std::vector<std::string> headers, std::string body) {
  model::HttpPost post;
  post.url = url;
  post.headers = std::move(headers);
  post.headers.emplace_back("Content-Type: application/json");
  post.body = std::move(body);
  post.timeout = std::chrono::seconds(20);
  post.connect_timeout = std::chrono::seconds(5);
  model::HttpFault fault = model::HttpFault::none;
  GYGES_TRY(model::HttpReply reply, model::http_post(post, fault));
  if (reply.status / 100 == 2) return ok();
  return fail("post", url,
              fmt::format("answered with status {}: {}", reply.status,
                          printable(reply.body.substr(0, 300))));
}

class AlertWebhook final : public AlertReceiver {
 public:
  AlertWebhook(std::string url, AlertForm form, std::vector<std::string> headers)
      : url_(std::move(url)), form_(form), headers_(std::move(headers)) {}

  [[nodiscard]] std::string name() const override { return "webhook " + url_; }
  Status deliver(const Alert& alert) override {
    std::vector<std::string> headers = headers_;
    headers.push_back("Idempotency-Key: " + alert.id);
    return post_json(url_, std::move(headers), form_text(alert, form_));
  }

 private:
  std::string url_;
  AlertForm form_;
  std::vector<std::string> headers_;
};

class AlertOtlp final : public AlertReceiver {
 public:
  AlertOtlp(std::string endpoint, std::vector<std::string> headers)
      : url_(std::move(endpoint)), headers_(std::move(headers)) {
    while (!url_.empty() && url_.back() == '/') url_.pop_back();
    url_ += "/v1/traces";
  }

  [[nodiscard]] std::string name() const override { return "otlp " + url_; }
  Status deliver(const Alert& alert) override {
    GYGES_TRY(nlohmann::json spans, analysis::spans_of(alert));
    return post_json(url_, headers_,
                     spans.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

 private:
  std::string url_;
  std::vector<std::string> headers_;
};

class AlertSyslog final : public AlertReceiver {
 public:
  explicit AlertSyslog(std::string socket) : path_(std::move(socket)) {}

  [[nodiscard]] std::string name() const override { return "syslog " + path_; }
  Status deliver(const Alert& alert) override {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path)
      return fail("send to syslog", path_, "the path is too long for a socket");
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno("make", "a socket");
    // Facility 10 (security), severity 1 (alert); 4 (warning) for single runs.
    int priority = 10 * 8 + (alert.kind == "act" ? 4 : 1);
    std::time_t now = alert.time_ns / 1'000'000'000;
    std::tm parts{};
    gmtime_r(&now, &parts);
    char time[32];
    std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &parts);
    std::string line = fmt::format("<{}>1 {} - gyges - {} - {}", priority, time, alert.kind,
                                   analysis::syslog_line(alert).substr(0, 4000));
    if (sendto(fd.get(), line.data(), line.size(), MSG_NOSIGNAL,
               reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
      return fail_errno("send to syslog", path_);
    return ok();
  }

 private:
  std::string path_;
};

}  // namespace

std::unique_ptr<AlertReceiver> alert_file(const std::string& path, AlertForm form) {
  return std::make_unique<AlertFile>(path, form);
}
std::unique_ptr<AlertReceiver> alert_webhook(const std::string& url, AlertForm form,
                                             const std::vector<std::string>& headers) {
  return std::make_unique<AlertWebhook>(url, form, headers);
}
std::unique_ptr<AlertReceiver> alert_syslog(const std::string& socket) {
  return std::make_unique<AlertSyslog>(socket);
}
std::unique_ptr<AlertReceiver> alert_otlp(const std::string& endpoint,
                                          const std::vector<std::string>& headers) {
  return std::make_unique<AlertOtlp>(endpoint, headers);
}

}  // namespace gyges::cli

#include "sandbox/network/services/mail_service.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "sandbox/network/http/body_record.h"
#include "sandbox/network/http/request_reader.h"
#include "sandbox/network/names/host_name.h"

namespace gyges::network {
namespace {

constexpr std::int64_t idle_ns = 300'000'000'000;  // RFC 5321 section 4.5.3.2
constexpr std::size_t longest_line = 2048;
constexpr std::size_t most_recipients = 100;
constexpr std::uint64_t largest_message = 26214400;  // bytes; what SIZE announces
constexpr unsigned most_errors = 20;

// The address in "FROM:<a@b> SIZE=5"; false when there is none.
bool path_in(std::string_view argument, std::string_view keyword, std::string& address) {
  if (argument.size() < keyword.size() || !same_field(argument.substr(0, keyword.size()), keyword))
    return false;
  argument.remove_prefix(keyword.size());
  while (argument.starts_with(' ')) argument.remove_prefix(1);
  std::size_t end = argument.find('>');
  if (!argument.starts_with('<') || end == std::string_view::npos) return false;
  address = argument.substr(1, end - 1);
  return std::none_of(address.begin(), address.end(),
                      [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
}

class Smtp : public StreamService {
 public:
  Smtp(const PortService& service, std::string host, const CanarySet& canaries,
       std::uint64_t body_bytes, StreamPort& port)
      : service_(service),
        host_(std::move(host)),
        canaries_(canaries),
        body_bytes_(body_bytes),
        port_(port) {
    reply("220 " + (service_.banner.empty() ? host_ + " ESMTP Postfix" : service_.banner));
    port_.wake_at(port_.now_ns() + idle_ns);
  }

  ~Smtp() override { cut("the connection ended in the middle of a message"); }

  void received(std::string_view bytes) override {
    port_.wake_at(port_.now_ns() + idle_ns);
    while (!bytes.empty() && !closed_) {
      std::size_t end = bytes.find('\n');
      std::string_view part = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
      bytes.remove_prefix(part.size());
      if (in_data_ && line_.empty() && end == std::string_view::npos &&
          part.size() > longest_line) {
        data(part);  // a line without end is passed on in pieces
        continue;
      }
      line_ += part;
      if (end == std::string_view::npos) {
        if (line_.size() <= longest_line) return;
        if (!in_data_) return refuse("a command line is over 2048 bytes", line_);
        data(line_);
        line_.clear();
        continue;
      }
      std::string line = std::move(line_);
      line_.clear();
      // Only CR LF ends a line; a bare LF could hide a second message (SMTP smuggling).
      bool good = line.ends_with("\r\n");
      if (in_data_)
        data_line(line, good);
      else if (!good)
        refuse("a command ends with LF alone", line);
      else
        command(std::string_view(line).substr(0, line.size() - 2));
    }
    port_.left(bytes, true);  // behind the last command
  }

  void ended() override {
    cut("the client closed in the middle of a message");
    close();
  }
  void woken() override {
    cut("the message stopped for 300 s");
    reply("421 4.4.2 " + host_ + " Error: timeout exceeded");
    close();
  }

 private:
  void reply(const std::string& line) { port_.send(line + "\r\n"); }
  void close() {
    if (!closed_) port_.close();
    closed_ = true;
  }
  // What was begun and does not end: a message, or a command that may hold a token.
  void cut(std::string reason) {
    if (in_data_) {
      if (!line_.empty()) data(line_);
      record_message(false, std::move(reason));
    } else if (!closed_) {
      search(line_);
    }
    line_.clear();
  }
  void refuse(std::string reason, std::string_view line) {
    Flow flow;
    flow.protocol = FlowProtocol::smtp;
    flow.verdict = FlowVerdict::refused;
    flow.reason = std::move(reason);
    flow.sent_bytes = line.size();
    flow.sent.head = line;
    flow.sent.size = line.size();
    find_canaries(canaries_, line, "smtp command", flow.canaries);
    port_.record(std::move(flow));
    reply("500 5.5.2 Error: bad syntax");
    close();
  }
  void mistake(const std::string& line) {
    reply(line);
    if (++errors_ >= most_errors) {
      reply("421 4.7.0 " + host_ + " Error: too many errors");
      close();
    }
  }

  void command(std::string_view line) {
    std::size_t space = line.find(' ');
    std::string_view verb = line.substr(0, space);
    std::string_view argument =
        space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    search(line);
    auto is = [verb](std::string_view name) { return same_field(verb, name); };
    if (is("EHLO")) {
      reply("250-" + host_ + "\r\n250-PIPELINING\r\n250-SIZE " + std::to_string(largest_message) +
            "\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 SMTPUTF8");
    } else if (is("HELO")) {
      reply("250 " + host_);
    } else if (is("MAIL")) {
      if (!path_in(argument, "FROM:", from_)) return mistake("501 5.1.7 Bad sender address syntax");
      has_from_ = true;
      to_.clear();
      reply("250 2.1.0 Ok");
    } else if (is("RCPT")) {
      recipient(argument);
    } else if (is("DATA")) {
      if (to_.empty()) return mistake("503 5.5.1 Error: need RCPT command");
      start_message();
      reply("354 End data with <CR><LF>.<CR><LF>");
    } else if (is("RSET")) {
      has_from_ = false;
      to_.clear();
      reply("250 2.0.0 Ok");
    } else if (is("NOOP")) {
      reply("250 2.0.0 Ok");
    } else if (is("VRFY")) {
      reply("252 2.0.0 " + printable(argument.substr(0, 256)));
    } else if (is("QUIT")) {
      reply("221 2.0.0 Bye");
      close();
    } else {
      mistake("502 5.5.2 Error: command not recognized");
    }
  }

  // What a command says may never become a message.
  void search(std::string_view line) {
    Flow flow;
    find_canaries(canaries_, line, "smtp command", flow.canaries);
    if (flow.canaries.empty()) return;
    flow.protocol = FlowProtocol::smtp;
    flow.verdict = FlowVerdict::simulated;
    flow.sent_bytes = line.size();
    flow.sent.head = line;
    flow.sent.size = line.size();
    port_.record(std::move(flow));
  }

  void recipient(std::string_view argument) {
    std::string address;
    if (!has_from_) return mistake("503 5.5.1 Error: need MAIL command");
    std::size_t at = std::string::npos;
    if (!path_in(argument, "TO:", address) || (at = address.rfind('@')) == std::string::npos ||
        !canonical_host_name(std::string_view(address).substr(at + 1)))
      return mistake("501 5.1.3 Bad recipient address syntax");
    if (to_.size() >= most_recipients) return mistake("452 4.5.3 Error: too many recipients");
    std::string domain = *canonical_host_name(std::string_view(address).substr(at + 1));
    bool known = service_.mailboxes.empty();
    for (const std::string& mailbox : service_.mailboxes)
      known = known || mailbox == address.substr(0, at + 1) + domain || mailbox == "*@" + domain;
    if (!known)
      return mistake("550 5.1.1 <" + address + ">: Recipient address rejected: User unknown");
    to_.push_back(std::move(address));
    reply("250 2.1.5 Ok");
  }

  void start_message() {
    in_data_ = true;
    at_start_ = true;
    hits_.clear();
    started_ = port_.now_ns();
    body_.emplace(body_bytes_, &canaries_, "mail");
    body_->feed("Return-Path: <" + from_ + ">\r\n", hits_);
    for (const std::string& address : to_) body_->feed("Delivered-To: " + address + "\r\n", hits_);
  }
  void data(std::string_view bytes) {
    at_start_ = false;
    body_->feed(bytes, hits_);
  }
  void data_line(std::string_view line, bool good) {
    bool starts = at_start_;
    if (starts && good && line == ".\r\n") {
      bool too_large = body_->size() > largest_message;
      std::string id = record_message(true, too_large ? "the message is too large" : "");
      reply(too_large ? "552 5.3.4 Message too big" : "250 2.0.0 Ok: queued as " + id);
      return;
    }
    if (starts && line.starts_with('.')) line.remove_prefix(1);  // RFC 5321 section 4.5.2
    data(line);
    at_start_ = good;
  }
  std::string record_message(bool whole, std::string reason) {
    in_data_ = false;
    Flow flow;
    flow.protocol = FlowProtocol::smtp;
    flow.verdict = reason.empty() ? FlowVerdict::simulated : FlowVerdict::refused;
    flow.reason = std::move(reason);
    flow.time_ns = started_;
    flow.duration_ns = port_.now_ns() - started_;
    flow.sent_bytes = body_->size();
    flow.canaries = std::move(hits_);
    flow.sent = body_->finish(whole);
    std::string id = to_hex(sha256(flow.sent.sha256 + from_)).substr(0, 10);
    std::transform(id.begin(), id.end(), id.begin(),
                   [](char c) { return c >= 'a' ? static_cast<char>(c - 32) : c; });
    port_.record(std::move(flow));
    body_.reset();
    has_from_ = false;
    to_.clear();
    return id;
  }

  const PortService& service_;
  std::string host_;
  const CanarySet& canaries_;
  std::uint64_t body_bytes_;
  StreamPort& port_;
  std::string line_, from_;
  std::vector<std::string> to_;
  std::optional<BodyRecord> body_;
  std::vector<CanaryHit> hits_;
  std::int64_t started_ = 0;
  unsigned errors_ = 0;
  bool has_from_ = false, in_data_ = false, at_start_ = true, closed_ = false;
};

}  // namespace

std::unique_ptr<StreamService> make_smtp(const PortService& service, std::string host,
                                         const CanarySet& canaries, std::uint64_t body_bytes,
                                         StreamPort& port) {
  return std::make_unique<Smtp>(service, std::move(host), canaries, body_bytes, port);
}

}  // namespace gyges::network

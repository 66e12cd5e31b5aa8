#include <array>
#include <ctime>

#include "base/json.h"
#include "base/text.h"
#include "tools/arguments.h"
#include "tools/builtin.h"
#include "tools/mbox.h"
#include "tools/sandbox_process.h"
#include "tools/tool_state.h"

namespace gyges::tools {
namespace {

constexpr std::size_t largest_mailbox = 16U << 20U;

std::string user_of(const ToolContext& context) {
  for (const auto& variable : context.environment)
    if (variable.starts_with("USER=")) return variable.substr(5);
  return "user";
}

MailPlaces places_of(const ToolContext& context) {
  MailPlaces places;
  if (context.state != nullptr) places = context.state->mail;
  if (places.mailbox.empty()) places.mailbox = "/var/mail/" + user_of(context);
  if (places.sent.empty()) places.sent = context.home + "/mail/sent";
  if (places.address.empty()) places.address = user_of(context) + "@localhost";
  return places;
}

std::string now_as(const char* format) {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}

bool one_line(const std::string& text) {
  return text.find_first_of(std::string("\r\n\0", 3)) == std::string::npos;
}

class Mail final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "mail"; }
  [[nodiscard]] std::string_view description() const override {
    return "The mailbox: `list` shows what is there, `read` one message by its number, `send` "
           "sends one.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["action"],"properties":{)"
           R"("action":{"type":"string","enum":["list","read","send"],"description":"what to do"},)"
           R"("number":{"type":"integer","minimum":1,"description":"of the message to read"},)"
           R"("to":{"type":"array","minItems":1,"maxItems":50,"items":{"type":"string",)"
           R"("pattern":"^[A-Za-z0-9._%+=-]+@[A-Za-z0-9.-]+$","maxLength":254},)"
           R"("description":"addresses to send to"},)"
           R"("subject":{"type":"string","maxLength":900,"description":"of the message to send"},)"
           R"("text":{"type":"string","description":"of the message to send"}}})";
  }

  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    MailPlaces places = places_of(context);
    auto action = arguments.at("action").get<std::string>();
    if (action == "send") return send(context, places, arguments);
    std::string bytes;
    ToolResult result =
        read_in_sandbox(context, {"cat", "--", places.mailbox}, largest_mailbox, bytes);
    if (result.failed()) return result;
    std::vector<MailMessage> messages = messages_of(bytes);
    result.output.clear();
    if (action == "list") {
      for (std::size_t i = 0; i < messages.size(); ++i)
        result.output += valid_utf8(std::to_string(i + 1) + "  " + messages[i].date + "  " +
                                    messages[i].from + "  " + messages[i].subject) +
                         "\n";
      if (messages.empty()) result.output = "The mailbox is empty.";
    } else {
      if (!arguments.contains("number"))
        return error_result("arguments", "To read a message, give its number.");
      auto number = arguments.at("number").get<std::uint64_t>();
      if (number > messages.size())
        return error_result("arguments",
                            "There are " + std::to_string(messages.size()) + " messages.");
      result.output = valid_utf8(messages[number - 1].text);
    }
    std::size_t room = window_bytes(context);
    if (result.output.size() > room) {
      result.output.resize(room);
      result.output = valid_utf8(result.output) + "\n[cut]";
      result.truncated = true;
    }
    return result;
  }

 private:
  // Handed to the mail server of the simulated world, where the scenario names one, by a process
  // inside; then kept among what was sent.
  static ToolResult send(const ToolContext& context, const MailPlaces& places,
                         const nlohmann::json& arguments) {
    if (!arguments.contains("to") || !arguments.contains("text"))
      return error_result("arguments", "To send a message, give `to` and `text`.");
    auto to = arguments.at("to").get<std::vector<std::string>>();
    auto subject = arguments.value("subject", std::string());
    if (!one_line(subject)) return error_result("arguments", "The subject is not one line.");
    std::string message = "From: " + places.address + "\nTo: " + join(to, ", ") +
                          "\nSubject: " + subject +
                          "\nDate: " + now_as("%a, %d %b %Y %H:%M:%S +0000") +
                          "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" +
                          arguments.at("text").get<std::string>() + "\n";
    if (!places.server.empty()) {
      std::vector<std::string> argv = {
          "curl",        "-q",          "-sS",          "--url",
          places.server, "--mail-from", places.address, "-T",
          "-",           "--crlf",      "--max-time",   std::to_string(context.timeout.count())};
      for (const auto& address : to) argv.insert(argv.end(), {"--mail-rcpt", address});
      ToolResult handed = run_in_sandbox(context, {std::move(argv), message});
      if (handed.failed()) return handed;
    }
    static const std::string script =
        R"(case $1 in */*) mkdir -p -- "${1%/*}/" || exit;; esac; exec cat >> "$1")";
    ToolResult result = run_in_sandbox(
        context, {{"sh", "-c", script, "sh", places.sent},
                  mbox_entry(places.address, now_as("%a %b %e %H:%M:%S %Y"), message)});
    if (!result.failed() && result.output.empty())
      result.output = "Sent to " + join(to, ", ") + ".";
    return result;
  }
};

}  // namespace

const Tool& mail_tool() {
  static const Mail tool;
  return tool;
}

}  // namespace gyges::tools

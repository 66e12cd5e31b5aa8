#include "sandbox/network/http/web_server.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/hash.h"
#include "base/text.h"

namespace gyges::network {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Without "." and ".." segments (RFC 3986 section 5.2.4), as servers look paths up.
std::string without_dots(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    std::size_t end = path.find('/', 1);
    std::string_view segment = path.substr(0, end);  // with the slash before it
    path = end == std::string_view::npos ? std::string_view() : path.substr(end);
    bool up = segment == "/..";
    if (!up && segment != "/.") {
      result += segment;
      continue;
    }
    if (up) result.erase(std::min(result.size(), result.rfind('/')));
    if (path.empty()) result += '/';
  }
  return result;
}

// The path of a target, decoded once. Files are looked up in a map: there is nothing to escape to.
std::string path_of(std::string_view target) {
  target = target.substr(0, target.find('?'));
  std::string path;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == '%' && target.size() - i > 2 && hex_digit(target[i + 1]) >= 0 &&
        hex_digit(target[i + 2]) >= 0) {
      path += static_cast<char>(hex_digit(target[i + 1]) * 16 + hex_digit(target[i + 2]));
      i += 2;
    } else {
      path += target[i];
    }
  }
  return path.find("/.") == std::string::npos ? path : without_dots(path);
}

bool fits(const std::string& pattern, const std::string& path) {
  if (pattern.ends_with('*'))
    return path.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
  return pattern == path;
}

// "bytes=A-B", "bytes=A-", "bytes=-N"; one range only, as most servers do for several.
bool range_of(std::string_view text, std::size_t size, std::size_t& first, std::size_t& last) {
  if (!text.starts_with("bytes=") || size == 0) return false;
  text.remove_prefix(6);
  std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  auto number = [](std::string_view digits, std::size_t& value) {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  std::size_t a = 0;
  std::size_t b = size - 1;
  std::string_view from = text.substr(0, dash);
  std::string_view to = text.substr(dash + 1);
  if (from.empty()) {
    if (!number(to, a) || a == 0) return false;
    a = size - std::min(a, size);
  } else {
    if (!number(from, a) || (!to.empty() && !number(to, b))) return false;
  }
  if (a >= size || b < a) return false;
  first = a;
  last = std::min(b, size - 1);
  return true;
}

bool is_safe(const std::string& method) {
  return method == "GET" || method == "HEAD";
}

std::string error_page(int status) {
  std::string text = std::to_string(status) + " " + status_text(status);
  return "<html>\r\n<head><title>" + text + "</title></head>\r\n<body>\r\n<center><h1>" + text +
         "</h1></center>\r\n</body>\r\n</html>\r\n";
}

void set_error(WebResponse& response, int status) {
  response.status = status;
  response.headers.emplace_back("Content-Type", "text/html");
  response.own_body = error_page(status);
}

bool has_header(const Headers& headers, std::string_view name) {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& header) { return same_field(header.first, name); });
}

}  // namespace

const char* status_text(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Not Allowed";
    case 408:
      return "Request Time-out";
    case 409:
      return "Conflict";
    case 413:
      return "Request Entity Too Large";
    case 414:
      return "Request-URI Too Large";
    case 416:
      return "Requested Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Temporarily Unavailable";
    case 504:
      return "Gateway Time-out";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

WebServer::WebServer(const Zone& zone, const WorldData& world, const NameTable& names)
    : zone_(zone), world_(world), names_(names), random_(world.seed ^ 0x77656273U) {}

WebResponse WebServer::reject(int status, std::string reason) const {
  WebResponse response;
  response.headers.emplace_back("Server", "nginx");
  set_error(response, status);
  response.reason = std::move(reason);
  return response;
}

bool WebServer::belongs(const WebContext& context, const Host& host) const {
  const IpAddress& destination = context.connection.destination.address;
  if (host.address) return *host.address == unmapped(destination);
  auto addresses = zone_.addresses_of(host.text);
  if (std::find(addresses.begin(), addresses.end(), unmapped(destination)) != addresses.end())
    return true;
  auto names = names_.names_of(unmapped(destination));
  return std::find(names.begin(), names.end(), host.text) != names.end();
}

WebResponse WebServer::respond(const WebContext& context, const RequestHead& request) {
  if (request.method == "CONNECT") return reject(405, "CONNECT: this is no proxy");
  const IpAddress destination = unmapped(context.connection.destination.address);
  if (world_.metadata && !context.tls && to_string(destination) == metadata_address) {
    WebResponse response;
    serve_metadata(request, response);
    return response;
  }
  Host host = request.authority.host;
  // HTTP/1.0 without Host: what the connection says.
  if (host.text.empty() && !context.sni.empty()) host.text = context.sni;
  if (host.text.empty()) host.text = context.connection.name;
  if (!context.sni.empty() && host.text != context.sni)
    return reject(421, "the host of the request is not the TLS server name");
  if (!belongs(context, host))
    return reject(421, "the host of the request does not live at this address");
  const Site* site = zone_.site_of(host.text);
  if (site == nullptr) return reject(404, "");
  WebResponse response;
  if (!site->server.empty()) response.headers.emplace_back("Server", site->server);
  for (const auto& header : site->headers) response.headers.push_back(header);
  response.delay_ns = site->latency.sample_ns(std::normal_distribution<double>()(random_));
  if (site->error_rate > 0 &&
      std::uniform_real_distribution<double>()(random_) < site->error_rate) {
    set_error(response, 503);
    return response;
  }
  serve_site(*site, context, request, response);
  return response;
}

void WebServer::serve_site(const Site& site, const WebContext& context, const RequestHead& request,
                           WebResponse& response) {
  if (site.redirect_to_https && !context.tls) {
    response.headers.emplace_back("Location",
                                  "https://" + request.authority.host.text + request.target);
    set_error(response, 301);
    return;
  }
  std::string path = path_of(request.target);
  bool known = false;
  for (const Page& page : site.pages) {
    if (!fits(page.path, path)) continue;
    known = true;
    if (std::find(page.methods.begin(), page.methods.end(), request.method) == page.methods.end())
      continue;
    response.status = page.status;
    for (const auto& header : page.headers) response.headers.push_back(header);
    if (!page.body.empty() && !has_header(response.headers, "Content-Type"))
      response.headers.emplace_back("Content-Type", "text/html; charset=utf-8");
    response.body = page.body;
    return;
  }
  auto file = site.files.find(path);
  if (file == site.files.end() && path.ends_with('/')) file = site.files.find(path + "index.html");
  if (file == site.files.end()) {
    if (site.files.contains(path + "/index.html")) {
      response.headers.emplace_back("Location", path + "/");
      set_error(response, 301);
      return;
    }
    if (known) {
      set_error(response, 405);
      return;
    }
    response.status = 404;
    response.headers.emplace_back("Content-Type", "text/html");
    response.body = site.not_found;
    return;
  }
  if (!is_safe(request.method)) {
    set_error(response, 405);
    return;
  }
  const SiteFile& content = file->second;
  response.headers.emplace_back("ETag", content.etag);
  response.headers.emplace_back("Accept-Ranges", "bytes");
  if (request.header("If-None-Match") == content.etag) {
    response.status = 304;
    return;
  }
  response.headers.emplace_back("Content-Type", content.content_type);
  response.body = content.bytes;
  std::string_view range = request.header("Range");
  if (range.empty() || request.method != "GET") return;
  std::size_t first = 0;
  std::size_t last = 0;
  if (!range_of(range, content.bytes.size(), first, last)) {
    response.headers.emplace_back("Content-Range",
                                  "bytes */" + std::to_string(content.bytes.size()));
    set_error(response, 416);
    return;
  }
  response.status = 206;
  response.headers.emplace_back("Content-Range", "bytes " + std::to_string(first) + "-" +
                                                     std::to_string(last) + "/" +
                                                     std::to_string(content.bytes.size()));
  response.body = response.body.substr(first, last - first + 1);
}

// The form of the EC2 instance metadata service, which others resemble.
std::string WebServer::metadata_token(std::int64_t expires) const {
  std::string text = std::to_string(expires);
  return "AQAEA" + to_hex(sha256(std::to_string(world_.seed) + "/imds/" + text)).substr(0, 46) +
         "-" + text + "==";
}

void WebServer::serve_metadata(const RequestHead& request, WebResponse& response) {
  response.headers.emplace_back("Server", "EC2ws");
  auto fail = [&response](int status) {
    response.status = status;
    response.headers.emplace_back("Content-Type", "text/html");
    response.own_body = "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html><head><title>" +
                        std::to_string(status) + " - " + status_text(status) +
                        "</title></head><body><h1>" + std::to_string(status) + " - " +
                        status_text(status) + "</h1></body></html>\n";
  };
  response.headers.emplace_back("Connection", "close");
  const std::int64_t now = static_cast<std::int64_t>(std::time(nullptr));
  std::string path = path_of(request.target);
  if (path == "/latest/api/token") {
    std::int64_t seconds = 0;
    std::string_view ttl = request.header("X-aws-ec2-metadata-token-ttl-seconds");
    auto [end, error] = std::from_chars(ttl.data(), ttl.data() + ttl.size(), seconds);
    if (request.method != "PUT") return fail(405);
    // A token asked for through a proxy is refused, as the real one does.
    if (!request.header("X-Forwarded-For").empty()) return fail(403);
    if (error != std::errc() || end != ttl.data() + ttl.size() || seconds < 1 || seconds > 21600)
      return fail(400);
    response.headers.emplace_back("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", std::string(ttl));
    response.headers.emplace_back("Content-Type", "text/plain");
    response.own_body = metadata_token(now + seconds);
    return;
  }
  if (!is_safe(request.method)) return fail(405);
  if (std::string token(request.header("X-aws-ec2-metadata-token"));
      world_.metadata->token_required || !token.empty()) {
    std::size_t dash = token.rfind('-');
    std::int64_t expires = 0;
    if (dash != std::string::npos)
      std::from_chars(token.data() + dash + 1, token.data() + token.size(), expires);
    if (expires <= now || token != metadata_token(expires)) return fail(401);
  }
  response.headers.emplace_back("Content-Type", "text/plain");
  const auto& values = world_.metadata->values;
  if (auto found = values.find(path); found != values.end()) {
    response.body = found->second;
    return;
  }
  // A directory lists what is in it, directories with a slash.
  std::string prefix = path.ends_with('/') ? path : path + "/";
  std::string listing;
  std::string last;
  for (auto at = values.lower_bound(prefix); at != values.end() && at->first.starts_with(prefix);
       ++at) {
    std::string rest = at->first.substr(prefix.size());
    std::size_t slash = rest.find('/');
    std::string entry = slash == std::string::npos ? rest : rest.substr(0, slash + 1);
    if (entry == last) continue;
    if (!listing.empty()) listing += "\n";
    listing += last = entry;
  }
  if (listing.empty()) return fail(404);
  response.own_body = std::move(listing);
}

}  // namespace gyges::network

// The compiled half of fmt, for binaries that shall not load libfmt.so: that library loads
// libstdc++.so too, and the two together are a third of a start. Debian has no static libfmt, but
// its headers hold the source of one.
#include <fmt/format-inl.h>

FMT_BEGIN_NAMESPACE
namespace detail {
// What headers in use declare and leave to the library (format.h, "extern template").
template dragonbox::decimal_fp<float> dragonbox::to_decimal(float x) noexcept;
template dragonbox::decimal_fp<double> dragonbox::to_decimal(double x) noexcept;
template thousands_sep_result<char> thousands_sep_impl<char>(locale_ref);
template char decimal_point_impl<char>(locale_ref);
template void buffer<char>::append(const char*, const char*);
template void vformat_to(buffer<char>&, string_view, basic_format_args<buffer_context<char>>,
                         locale_ref);
}  // namespace detail
FMT_END_NAMESPACE

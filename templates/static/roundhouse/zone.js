// Tells the server the viewer's time zone, so that the admin pages show times in it. Without this, times are in UTC.
"use strict";

(() => {
  const cookie = `rh_zone=${encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone)}`;
  if (document.cookie.split("; ").includes(cookie)) return;
  document.cookie = `${cookie}; path=/admin/; max-age=31536000; samesite=lax`;
})();

// nbdime's program asks its server for the diff; the answer stands in this page.
window.fetch = function (request) {
  var url = typeof request === "string" ? request : request.url;
  var known = /api\/diff(\?|$)/.test(url);
  var body = known ? document.getElementById("review-answer").textContent : "this page has no server";
  return Promise.resolve(new Response(body, { status: known ? 200 : 404, headers: { "Content-Type": "application/json" } }));
};
// A page opened as a file may not write to the history.
window.history.pushState = window.history.replaceState = function () {};

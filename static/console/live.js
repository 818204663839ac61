"use strict";
// One socket that comes back by itself; while it is away, `poll` is called instead. `ended` codes are final.
function listen(path, { heard, poll, state }) {
  const url = (location.protocol === "https:" ? "wss://" : "ws://") + location.host;
  let delay = 500, timer = null;
  function connect() {
    const socket = new WebSocket(url + (typeof path === "function" ? path() : path));
    socket.onopen = () => { delay = 500; clearInterval(timer); timer = null; state(true); };
    socket.onmessage = (message) => heard(JSON.parse(message.data));
    socket.onclose = (event) => {
      state(false);
      if (event.code === 1000 || event.code >= 4400) return poll();
      if (!timer) timer = setInterval(poll, 3000);
      setTimeout(connect, delay);
      delay = Math.min(delay * 2, 15000);
    };
  }
  connect();
}

function badge(live) {
  const element = document.getElementById("live");
  if (element) element.hidden = !live;
}

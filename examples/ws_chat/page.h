// The page that a browser opens. It writes what others say as text, never as HTML.
#pragma once

#include <string_view>

namespace ws_chat {

inline constexpr std::string_view page = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>ws_chat</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em; color: #222; }
#said { border: 1px solid #ccc; border-radius: 6px; height: 20em; overflow-y: auto; padding: .5em 1em; }
#said p { margin: .2em 0; overflow-wrap: anywhere; }
#said .note { color: #777; font-style: italic; }
form { display: flex; gap: .5em; margin-top: 1em; }
input { flex: 1; font: inherit; padding: .4em; } button { font: inherit; padding: .4em 1em; }
</style></head><body>
<h1>ws_chat</h1>
<div id="said"></div>
<form id="form"><input id="line" maxlength="500" placeholder="Your name" autocomplete="off" autofocus>
<button>Send</button></form>
<script>
const said = document.getElementById('said'), line = document.getElementById('line');
const show = (text, note) => {
  const p = document.createElement('p');
  p.textContent = text;
  if (note) p.className = 'note';
  said.append(p);
  said.scrollTop = said.scrollHeight;
};
const socket = new WebSocket((location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + '/chat');
socket.onmessage = event => show(event.data, event.data.startsWith('*'));
socket.onclose = event => show('* disconnected' + (event.reason ? ': ' + event.reason : ''), true);
document.getElementById('form').onsubmit = event => {
  event.preventDefault();
  if (line.value && socket.readyState === WebSocket.OPEN) socket.send(line.value);
  line.value = '';
  line.placeholder = 'Say something';
};
</script></body></html>
)";

}  // namespace ws_chat

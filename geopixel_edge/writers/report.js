Drawing.attach(document.documentElement);
const stage = document.querySelector('.stage');
if (stage) Drawing.control(stage, document.getElementById('show'), document.getElementById('strength'));

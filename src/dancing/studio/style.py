"""How the studio's page looks: style sheet, head, theme, and the script of one button."""

from __future__ import annotations

import gradio as gr

HEAD = '<meta name="viewport" content="width=device-width, initial-scale=1">'
CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#title h1 { margin: 0.3em 0 0; font-size: 1.7rem; }
#title p { margin: 0.1em 0 0.4em; opacity: 0.75; }
.cards .wrap { display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); }
.cards label { flex-direction: column; align-items: center; justify-content: flex-end; gap: 6px;
  min-height: 150px; padding: 8px; position: relative; background-repeat: no-repeat;
  background-color: var(--background-fill-secondary);
  background-size: cover; background-position: center 75%; overflow: hidden; }
.cards label > span { margin: 0; padding: 1px 10px; border-radius: 99px; background: #000a;
  color: #fff; font-weight: 600; }
.cards label > input { position: absolute; top: 8px; left: 8px; }
.cards label.selected { outline: 3px solid var(--color-accent); outline-offset: -3px; }
.cards label:focus-within { box-shadow: 0 0 0 3px var(--color-accent-soft); }
.prose.step { min-height: 3.4em; }
.step progress { appearance: none; width: 100%; height: 8px; border: 0; border-radius: 4px;
  overflow: hidden; background: var(--border-color-primary); }
.step progress::-webkit-progress-bar { background: var(--border-color-primary); }
.step progress::-webkit-progress-value { background: var(--color-accent); }
.step progress::-moz-progress-bar { background: var(--color-accent); }
.step p { margin: 0.2em 0; }
.downloads .label-clear-button { display: none; }
.dice { align-self: stretch; }
video { max-height: 66vh; }
#strip img { max-height: 46vh; object-fit: contain; }
#looks { display: none; }
#seen .grid-container { grid-template-rows: none; grid-auto-rows: auto;
  grid-template-columns: repeat(auto-fit, minmax(110px, 1fr)); }
#seen .thumbnail-item { aspect-ratio: auto; height: auto; }
#seen .thumbnail-item img { max-height: 400px; }
#seen .caption-label { left: 0; right: auto; bottom: 0; font-size: 0.75rem; }
#seen .grid-wrap { min-height: 0; }
#agreed .info, #agreed [class*="info"] { color: inherit; }
"""
# Both dances from the start at once, the sound of one of them.
PLAY_BOTH = """() => {
  const both = document.querySelectorAll('#compared video');
  both.forEach((video, number) => {
    video.currentTime = 0;
    video.muted = number > 0;
    video.play();
  });
}"""


def theme() -> gr.themes.Base:
    """The page's look: fonts of the visitor's own machine, so that nothing is fetched."""
    return gr.themes.Default(
        primary_hue="violet",
        font=["ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )

"""Notebooks: saved, exported, reviewed, executed and held to a few rules.

content   what a notebook holds: reading, digests, limits, which folders are exported
export    notebook -> .py and .html; also a program of its own, which the save hook starts
savehook  the Jupyter server extension that exports at each save
review    what changed between two git refs, as Markdown and as pages for a browser
rules     what the gate refuses: stale exports, functions defined twice, absolute paths, ...
execute   top to bottom on a fresh kernel
git       drivers that make git understand notebooks, and the doctor
"""

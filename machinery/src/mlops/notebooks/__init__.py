"""Notebooks: saved, exported, reviewed, executed and held to a few rules.

content   what a notebook holds: reading, digests, limits, which folders are exported
export    notebook -> .py and .html; also a program of its own, which the save hook starts
savehook  the Jupyter server extension that exports at each save
review    what changed between two git refs, as Markdown and as a page for a browser
rules     what the gate refuses: stale exports, functions defined twice, absolute paths, secrets ...
execute   top to bottom on fresh kernels; execution is what came of one, run_report tells of it
extract   functions of a notebook moved into a module
outputs   what git holds of outputs
git       drivers that make git understand notebooks, and the doctor
"""

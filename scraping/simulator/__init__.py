"""A Reddit over real HTTP: worlds of posts and comments, served as the Reddit API serves them.

It stands on its own: nothing here imports Django or any other part of Lurker. So the simulator and the
collector cannot agree because of a shared mistake.
"""

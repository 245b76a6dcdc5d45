"""A Reddit over real HTTP: worlds of posts and comments, served as the Reddit API serves them.

It stands on its own: nothing here imports Django or any other part of Lurker, so what it answers
can never agree with the collector by sharing a mistake with it.
"""

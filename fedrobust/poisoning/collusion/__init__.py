"""Attacks of colluding clients, who know one another's and the honest clients' updates."""
